"""Projections: laws of the simplex, and an independent solver of their objectives."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from sparseattn.errors import UserError
from sparseattn.models.projections import Projection, both_ways, project, scaled, solved

KINDS = (
    {"projection": "softmax"},
    {"projection": "sparsemax"},
    {"projection": "sparsegen", "lam": 0.5},
    {"projection": "sparsegen", "lam": -3.0},
    {"projection": "entmax", "alpha": 1.0},
    {"projection": "entmax", "alpha": 1.2},
    {"projection": "entmax", "alpha": 1.5},
    {"projection": "entmax", "alpha": 2.0},
    {"projection": "entmax", "alpha": 3.0},
)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
# Training elsewhere in the session may have left the processor flushing subnormal numbers.
floats = partial(st.floats, allow_subnormal=False)
numbers = st.lists(floats(-5, 5), min_size=1, max_size=7)


def everywhere(scores):
    return torch.ones(scores.shape, dtype=torch.bool)


def solve(scores, projection, lam=0.0, alpha=2.0):
    """Minimise the projection's objective over the simplex with a general solver."""
    if projection in ("sparsemax", "sparsegen"):

        def objective(p):
            return np.sum((p - scores) ** 2) - lam * np.sum(p**2)

        def slope(p):
            return 2 * (p - scores) - 2 * lam * p

    elif projection == "softmax" or alpha == 1:

        def objective(p):
            return -p @ scores + np.sum(p * np.log(np.maximum(p, 1e-300)))

        def slope(p):
            return -scores + np.log(np.maximum(p, 1e-300)) + 1

    else:

        def objective(p):
            power = np.maximum(p, 0) ** alpha
            return -p @ scores + np.sum(power - p) / (alpha * (alpha - 1))

        def slope(p):
            return -scores + (alpha * np.maximum(p, 0) ** (alpha - 1) - 1) / (alpha * (alpha - 1))

    n = len(scores)
    found = minimize(
        objective,
        np.full(n, 1 / n),
        jac=slope,
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda p: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x


@kinds
def test_it_solves_its_objective(kind):
    rng = np.random.default_rng(0)
    for n in (1, 2, 6):
        scores = rng.normal(size=n)
        ours = project(torch.tensor(scores), torch.ones(n, dtype=torch.bool), **kind)
        np.testing.assert_allclose(ours.numpy(), solve(scores, **kind), atol=2e-5)


@kinds
@settings(max_examples=20)
@given(data=st.data())
def test_weights_are_a_distribution_over_the_mask(kind, data):
    scores = torch.tensor(data.draw(numbers), dtype=torch.float64)
    mask = torch.tensor([data.draw(st.booleans()) for _ in scores])
    weights = project(scores, mask, **kind)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    assert weights.sum().item() == pytest.approx(1.0 if mask.any() else 0.0, abs=1e-9)
    # What stands off the mask is ignored, be it −∞, huge, or not there at all.
    for other in (-torch.inf, 1e9):
        torch.testing.assert_close(project(scores.masked_fill(~mask, other), mask, **kind), weights)
    if mask.any():
        alone = project(scores[mask], everywhere(scores[mask]), **kind)
        torch.testing.assert_close(weights[mask], alone, atol=1e-9, rtol=0)
    # Adding a constant changes nothing; permuting permutes.
    torch.testing.assert_close(project(scores + 2, mask, **kind), weights, atol=1e-9, rtol=0)
    order = torch.tensor(data.draw(st.permutations(range(len(scores)))))
    torch.testing.assert_close(project(scores[order], mask[order], **kind), weights[order])
    # A larger score never has the smaller weight.
    ranked = weights[mask][scores[mask].argsort()]
    assert (ranked.diff() >= -1e-9).all()


@kinds
@pytest.mark.parametrize("astray", [torch.nan, torch.inf])
def test_of_what_is_no_number_weights_are_none(kind, astray):
    """So that the loss says it, instead of a library's crash; other documents are as they were."""
    scores = torch.tensor([[1.0, astray, 0.0], [0.5, 1.0, 0.0]])
    weights = project(scores, everywhere(scores), **kind)
    assert weights[0].isnan().all()
    torch.testing.assert_close(weights[1:], project(scores[1:], everywhere(scores[1:]), **kind))


@settings(max_examples=50)
@given(values=numbers, lam=floats(-20, 0.9))
def test_sparsegen_is_sparsemax_at_a_temperature(values, lam):
    """The simplex projection, by bisection of its threshold: p = max(z − τ, 0), Σp = 1."""
    scores = torch.tensor(values, dtype=torch.float64)
    z = scores / (1 - lam)
    low, high = z.max() - 1, z.max()
    for _ in range(80):
        threshold = (low + high) / 2
        if (z - threshold).clamp(min=0).sum() > 1:
            low = threshold
        else:
            high = threshold
    expected = (z - high).clamp(min=0)
    ours = project(scores, everywhere(scores), "sparsegen", lam=lam)
    torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(ours, project(z, everywhere(z), "sparsemax"))


def test_limits():
    scores = torch.tensor([0.3, 1.0, 0.9, -2.0], dtype=torch.float64)
    mask = everywhere(scores)

    def close(weights, expected, atol=1e-9):
        torch.testing.assert_close(weights, expected, atol=atol, rtol=0)

    close(project(scores, mask, "sparsegen", lam=0.999), torch.eye(4, dtype=torch.float64)[1])
    close(project(scores, mask, "sparsegen", lam=-1e9), torch.full_like(scores, 0.25), atol=1e-8)
    softmax, sparsemax = (project(scores, mask, name) for name in ("softmax", "sparsemax"))
    close(project(scores, mask, "entmax", alpha=1.0), softmax)
    close(project(scores, mask, "entmax", alpha=2.0), sparsemax)
    close(project(scores, mask, "entmax", alpha=1.0005), softmax, atol=1e-3)
    close(project(scores, mask, "entmax", alpha=1.9999), sparsemax, atol=1e-3)
    close(  # the closed form and the bisection that takes a tensor for α
        project(scores, mask, "entmax", alpha=1.5),
        project(scores, mask, "entmax", alpha=torch.tensor(1.5, dtype=torch.float64)),
    )


@pytest.mark.parametrize("name", ["sparsemax", "entmax"])
def test_sparse_ones_hold_exact_zeros_and_softmax_none(name):
    scores = torch.tensor([4.0, 0.0, -4.0, 3.9])
    weights = project(scores, everywhere(scores), name, alpha=1.5 if name == "entmax" else None)
    assert (weights[1:3] == 0).all()
    assert (project(scores, everywhere(scores), "softmax") > 0).all()


def test_larger_lambda_never_widens_the_support():
    scores = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    sizes = [
        (project(scores, everywhere(scores), "sparsegen", lam=lam) > 0).sum(-1)
        for lam in (-50.0, -5.0, -1.0, 0.0, 0.5, 0.9)
    ]
    assert all((wide >= narrow).all() for wide, narrow in pairwise(sizes))


@kinds
def test_gradients(kind):
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda s: project(s, mask, **kind), scores.requires_grad_(), atol=1e-5
    )
    slopes = torch.autograd.grad(project(scores, mask, **kind).square().sum(), scores)[0]
    assert (slopes[~mask] == 0).all()


def test_wholly_masked_rows_are_empty_and_harmless():
    scores = torch.randn(2, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False, True], [False] * 4])
    for kind in KINDS:
        weights = project(scores, mask, **kind)
        assert (weights[1] == 0).all()
        slopes = torch.autograd.grad(weights.square().sum(), scores)[0]
        assert slopes.isfinite().all()
        assert (slopes[1] == 0).all()


def test_alpha_is_learned():
    projection = Projection("entmax", alpha="learned").double()
    scores = torch.tensor([0.2, 0.9, 0.5, -0.3], dtype=torch.float64)
    assert projection.alpha.item() == pytest.approx(1.5)
    torch.testing.assert_close(
        projection(scores, everywhere(scores)),
        project(scores, everywhere(scores), "entmax", alpha=1.5),
    )
    projection(scores, everywhere(scores))[1].backward()
    slope = projection.raw_alpha.grad.item()
    with torch.no_grad():  # against a central difference
        ends = []
        for step in (1e-5, -1e-5):
            projection.raw_alpha.fill_(step)
            ends.append(projection(scores, everywhere(scores))[1].item())
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)
    assert slope != 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"projection": "sparsmax"}, "Unknown projection 'sparsmax'. Did you mean 'sparsemax'"),
        ({"projection": "sparsegen"}, "λ below 1.*got None"),
        ({"projection": "sparsegen", "lam": 1.0}, "λ below 1.*got 1.0"),
        ({"projection": "sparsegen", "lam": float("nan")}, "λ below 1.*got nan"),
        ({"projection": "entmax"}, "α from 1 to 3.*got None"),
        ({"projection": "entmax", "alpha": 0.9}, "α from 1 to 3.*got 0.9"),
        ({"projection": "entmax", "alpha": 3.1}, "α from 1 to 3.*got 3.1"),
    ],
)
def test_mistakes_are_answered(given, message):
    scores = torch.zeros(3)
    with pytest.raises(UserError, match=message):
        project(scores, everywhere(scores), **given)


def test_alpha_of_another_name():
    with pytest.raises(UserError, match="'learned'; got 'learnt'"):
        Projection("entmax", alpha="learnt")


@kinds
def test_a_module_is_its_projection_with_its_parameters(kind):
    module, scores = Projection(**kind), torch.randn(2, 4, generator=torch.manual_seed(0))
    assert module.alpha == kind.get("alpha")
    torch.testing.assert_close(
        module(scores, everywhere(scores)), project(scores, everywhere(scores), **kind)
    )


def test_shown_weights_are_those_of_each_projection():
    scores = [0.1, 0.7, -0.3]
    vector = torch.tensor(scores, dtype=torch.float64)
    found = solved(scores, [-1.0, 0.5], [1.2])
    assert list(found.index) == list(range(12))
    expected = [
        ("softmax", 0.0, project(vector, everywhere(vector), "softmax")),
        ("sparsegen", -1.0, project(vector, everywhere(vector), "sparsegen", lam=-1.0)),
        ("sparsegen", 0.5, project(vector, everywhere(vector), "sparsegen", lam=0.5)),
        ("entmax", 1.2, project(vector, everywhere(vector), "entmax", alpha=1.2)),
    ]
    parts = found.groupby(["projection", "parameter"], sort=False)
    for (name, part), (projection, parameter, weights) in zip(parts, expected, strict=True):
        assert name == (projection, parameter)
        assert part[["index", "score"]].to_numpy().tolist() == [[0, 0.1], [1, 0.7], [2, -0.3]]
        np.testing.assert_allclose(part["weight"], weights, rtol=0, atol=1e-12)
        assert set(part["nonzero"]) == {int((weights > 0).sum())}
        np.testing.assert_allclose(part["largest"], weights.max(), rtol=0, atol=1e-12)
    for many in (2, 20):
        assert len(solved([float(place) for place in range(many)])) == many
    for many in (1, 21):
        with pytest.raises(UserError, match=f"2 to 20 scores; got {many}"):
            solved([0.0] * many)


def test_scaled_scores_by_hand():
    """Of two scores one apart, sparsemax keeps both only where less than 1 lies between them."""
    factors = [1.5, 0.5, *(1.0 + place / 100 for place in range(20))]
    found = scaled([1.0, 0.0], [0.5, 0.0], factors)
    assert found["lam"].tolist() == [0.0] * 22 + [0.5] * 22
    assert found["scale"].tolist() == [f"scores × {factor:g}" for factor in factors] * 2
    wide = [2 if factor < 1 - lam else 1 for lam in (0.0, 0.5) for factor in factors]
    assert found["nonzero"].tolist() == wide
    assert found["score"].tolist() == factors * 2


def test_shown_weights_are_solved_both_ways():
    scores = [2.0, 1.0, 0.5, -1.0]
    found = both_ways(scores, [-10.0, 0.0, 0.6])
    assert (found["difference"] < 1e-5).all()
    assert found["temperature"].tolist() == [11.0, 1.0, 0.4]
    assert found["nonzero"].is_monotonic_decreasing
    assert found["nonzero"].iloc[-1] < 4 == found["nonzero"].iloc[0]
    # Twice the scores at temperature 2: as before.
    twice = scaled(scores, [-1.0], [1.0, 2.0]).set_index("scale")["nonzero"]
    assert twice["scores × 2"] == scaled(scores, [0.0], [1.0])["nonzero"].iloc[0]
    assert twice["scores × 1"] >= twice["scores × 2"]


def exact(scores, alpha):
    """The same by bisection in float64, of scores less the largest: no digits cancel."""
    scores = scores * (alpha - 1)
    scores -= scores.max()
    low, high = -1.0, -((1 / len(scores)) ** (alpha - 1))
    for _ in range(200):
        middle = (low + high) / 2
        total = (np.maximum(scores - middle, 0) ** (1 / (alpha - 1))).sum()
        low, high = (middle, high) if total > 1 else (low, middle)
    return np.maximum(scores - low, 0) ** (1 / (alpha - 1))


@pytest.mark.parametrize("alpha", [1.2, 1.7, 2.5, 3.0])
@pytest.mark.parametrize("spread", [1e-4, 1e-2, 1.0])
def test_weights_are_right_in_single_precision_up_to_the_largest_alpha(alpha, spread):
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = (generator.standard_normal(20) * spread).astype(np.float32)
        weights = project(
            torch.tensor(scores), torch.ones(20, dtype=torch.bool), "entmax", alpha=alpha
        )
        np.testing.assert_allclose(weights, exact(scores.astype(np.float64), alpha), atol=1e-5)
