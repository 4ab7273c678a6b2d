"""The worked example of the page on measures, recomputed by the code that makes the report."""

import re

import numpy as np

from sparseattn import measures, paths

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


def test_importance() -> None:
    stands(*measures.normalise(GRADIENT, LENGTHS)[0])
    stands(*measures.normalise(abs(0.8 - LEFT_OUT), LENGTHS)[0])


def test_dispersion() -> None:
    stands(measures.entropy(GRADIENT, LENGTHS)[0], measures.dispersion(GRADIENT, LENGTHS)[0])
    stands(measures.effective_tokens(GRADIENT, LENGTHS)[0], digits=2)


def test_agreement() -> None:
    tau = measures.kendall_tau(ATTENTION, GRADIENT, LENGTHS)[0]
    ceiling = measures.tau_ceiling(ATTENTION, LENGTHS)[0]
    stands(tau, ceiling)
    assert tau == ceiling
    sparse = np.r_[np.zeros(174), np.arange(1, 6)][None]
    stands(measures.tau_ceiling(sparse, np.array([179]))[0])


def test_agreement_without_ties() -> None:
    assert measures.attended_auc(ATTENTION, GRADIENT, LENGTHS)[0] == 1
    assert measures.attended_mass(ATTENTION, GRADIENT, LENGTHS)[0] == 0.75
    assert measures.attended_share(ATTENTION, LENGTHS)[0] == 0.5
    assert measures.precision_at_k(ATTENTION, GRADIENT, LENGTHS)[0] == 1


def test_null() -> None:
    random = abs(np.random.default_rng(0).standard_normal((2000, 19)))
    null = measures.dispersion(random, np.full(2000, 19)).mean()
    assert round(null, 1) == 0.9
    assert "about $.9$ in a document of 19 tokens" in " ".join(PAGE.split())
