"""The worked example of the page on measures, recomputed by the code that makes the report."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from sparseattn import paths
from sparseattn.measures import faithfulness, kendall, per_document
from sparseattn.measures.divergence import disjoint_part, jensen_shannon
from sparseattn.measures.statistics import estimate, linearised
from sparseattn.models.projections import project

HIDDEN = np.array([0.1, -0.5, 1.2, 1.0])
WEIGHT, BIAS = 2.0, -0.85
INFLUENCE = np.array([[0.5, 0.5, 2, 1]])
ADVERSARY = np.array([0.6, 0, 0, 0.4])
ATTENTION = np.array([[0, 0, 0.6, 0.4]])
GRADIENT = np.array([[1.0, 2, 6, 3]])
LEFT_OUT = np.array([[0.78, 0.85, 0.30, 0.60]])
LENGTHS = np.array([4])
PAGE = (paths.book() / "measures.md").read_text(encoding="utf-8")


def stands(*numbers: float, digits: int = 3) -> None:
    for number in numbers:
        text = f"{number:.{digits}f}".removeprefix("0")
        # .500 is written .5
        assert re.search(rf"{re.escape(text)}|{re.escape(text.rstrip('0'))}(?!\d)", PAGE), text


def attend(hidden: torch.Tensor) -> torch.Tensor:
    return project(hidden, torch.ones(4, dtype=torch.bool), "sparsemax")


def test_classifier() -> None:
    attention = attend(torch.tensor(HIDDEN))
    np.testing.assert_allclose(attention, ATTENTION[0])
    context = float(HIDDEN @ attention.numpy())
    logit = WEIGHT * context + BIAS
    stands(context, logit, digits=2)
    assert f"{1 / (1 + np.exp(-logit)):.2f}" == "0.80"
    table = [f"| {h:.1f} | {h:.1f} |".replace("-", "−") for h in HIDDEN]
    assert all(row in PAGE for row in table)


def test_importance_of_hidden_states() -> None:
    hidden = torch.tensor(HIDDEN, requires_grad=True)
    (WEIGHT * attend(hidden) @ hidden + BIAS).backward()
    assert hidden.grad is not None
    gradient = hidden.grad.numpy()
    np.testing.assert_allclose(gradient, [0, 0, 1.4, 0.6])
    assert "= 1.4, \\\\" in PAGE
    shares = per_document.normalise(abs(gradient)[None], LENGTHS)[0]
    assert "shares are $0, 0, .7, .3$" in PAGE
    np.testing.assert_allclose(shares, [0, 0, 0.7, 0.3])
    fixed = torch.tensor(HIDDEN, requires_grad=True)
    (WEIGHT * attend(fixed).detach() @ fixed + BIAS).backward()
    assert fixed.grad is not None
    shares = per_document.normalise(fixed.grad.numpy()[None], LENGTHS)
    np.testing.assert_allclose(shares, ATTENTION)


def test_influence() -> None:
    stands(*per_document.normalise(INFLUENCE, LENGTHS)[0])
    every = np.vstack([np.ones((2, 4)), INFLUENCE, np.ones((1, 4))])
    summary = {name: row[2] for name, row in per_document.influence_summary(every).items()}
    assert summary["influence_self_share"] == 0.5
    assert summary["influence_self_rank"] == 1
    assert summary["influence_window_share"] == 1
    stands(summary["influence_dispersion"], per_document.entropy(INFLUENCE, LENGTHS)[0])


def test_divergence() -> None:
    both = torch.tensor(ATTENTION[0]), torch.tensor(ADVERSARY)
    stands(jensen_shannon(*both).item(), np.log(2))
    stands(disjoint_part(*both).item(), np.log(2))
    np.testing.assert_allclose(jensen_shannon(*both), jensenshannon(ATTENTION[0], ADVERSARY) ** 2)


def test_importance() -> None:
    stands(*per_document.normalise(GRADIENT, LENGTHS)[0])
    stands(*per_document.normalise(abs(0.8 - LEFT_OUT), LENGTHS)[0])


def test_dispersion() -> None:
    stands(
        per_document.entropy(GRADIENT, LENGTHS)[0], per_document.dispersion(GRADIENT, LENGTHS)[0]
    )
    stands(per_document.effective_tokens(GRADIENT, LENGTHS)[0], digits=2)


def test_agreement() -> None:
    tau = kendall.kendall_tau(ATTENTION, GRADIENT, LENGTHS)[0]
    ceiling = kendall.tau_ceiling(ATTENTION, LENGTHS)[0]
    stands(tau, ceiling)
    assert tau == ceiling
    sparse = np.r_[np.zeros(174), np.arange(1, 6)][None]
    stands(kendall.tau_ceiling(sparse, np.array([179]))[0])


def test_agreement_without_ties() -> None:
    assert per_document.attended_auc(ATTENTION, GRADIENT, LENGTHS)[0] == 1
    assert per_document.attended_mass(ATTENTION, GRADIENT, LENGTHS)[0] == 0.75
    assert per_document.attended_share(ATTENTION, LENGTHS)[0] == 0.5
    assert per_document.precision_at_k(ATTENTION, GRADIENT, LENGTHS)[0] == 1


def test_null() -> None:
    random = abs(np.random.default_rng(0).standard_normal((2000, 19)))
    null = per_document.dispersion(random, np.full(2000, 19)).mean()
    assert round(null, 1) == 0.9
    assert "about $.9$ in a document of 19 tokens" in " ".join(PAGE.split())


def test_null_of_lengths() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 19, 300))
    lengths = np.linalg.norm(vectors, axis=2)
    assert f"{per_document.dispersion(lengths, np.full(500, 19)).mean():.4f}" == "0.9997"
    assert "their dispersion is $.9997$ in a document of 19 tokens" in " ".join(PAGE.split())
    assert f"{np.sqrt(180):.0f}" == "13"


def test_bound_of_two_agreements() -> None:
    ranked = np.random.default_rng(0).random((3, 500, 6))
    lengths = np.full(500, 6)
    with_gradient, with_loo, between = (
        kendall.kendall_tau(ranked[one], ranked[other], lengths)
        for one, other in ((0, 1), (0, 2), (1, 2))
    )
    assert (with_gradient + with_loo <= 1 + between + 1e-12).all()
    # Not by their mutual agreement, which attention may exceed with both.
    assert (np.minimum(with_gradient, with_loo) > between).any()


def test_faithfulness() -> None:
    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    whole = np.array([logit(0.8)])
    without = np.array([[[logit(0.6)] * 2 + [logit(0.3)] * 3]])
    assert faithfulness.cuts(4).tolist() == [1, 1, 2, 2, 2]
    found = faithfulness.area(whole, without)
    stands(float(found[0]), digits=2)
    ends = np.array([0.05]), np.array([0.5])
    first = float(faithfulness.normalised(found, *ends)[0])
    value, room = pd.Series([first, 3.0]), pd.Series([0.45, 0.001])
    stands(first, linearised(value, room, pd.Series([0, 0])).mean())
    stands(value.mean(), digits=2)


def test_flow() -> None:
    changed = HIDDEN.copy()
    changed[2] = 0.4
    before, after = attend(torch.tensor(HIDDEN)).numpy(), attend(torch.tensor(changed)).numpy()
    np.testing.assert_allclose(after, [0, 0, 0.2, 0.8])
    own = (before + after)[2] / 2 * WEIGHT * (changed - HIDDEN)[2]
    weights = (after - before) @ (WEIGHT * (HIDDEN + changed) / 2)
    total = WEIGHT * (after @ changed - before @ HIDDEN)
    np.testing.assert_allclose(total, own + weights)
    stands(-own, weights, -total, digits=2)


def test_the_interval_of_a_mean_is_that_of_the_page():
    found = estimate(np.array([[0.4, 0.6], [0.5, 0.7]]))
    assert "$.55$, $MS_D = .04$, $MS_S = .01$, $MS_E = 0$" in PAGE
    assert found["mean"] == pytest.approx(0.55)
    assert found["se"] ** 2 == pytest.approx(0.0125)
