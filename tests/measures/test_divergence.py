"""The divergence of two attentions is scipy's, lawful, and safe at exact zeros."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from sparseattn.measures.divergence import (
    CEILING,
    disjoint_part,
    divergence_ceiling,
    even_ceiling,
    jensen_shannon,
)
from sparseattn.models.projections import project

WEIGHTS = arrays(
    np.float64, (2, 6), elements=st.floats(0, 1, allow_subnormal=False).map(lambda x: x * (x > 0.3))
)


def pair(weights):
    rows = torch.as_tensor(weights)
    rows = rows + torch.eye(6)[:2] * (rows.sum(dim=-1, keepdim=True) == 0)
    return rows / rows.sum(dim=-1, keepdim=True)


class TestDivergence:
    @given(WEIGHTS)
    def test_is_the_square_of_scipy_s_distance(self, weights):
        p, q = pair(weights)
        expected = jensenshannon(p.numpy(), q.numpy()) ** 2
        assert jensen_shannon(p, q).item() == pytest.approx(np.nan_to_num(expected), abs=1e-12)

    @given(WEIGHTS)
    def test_laws(self, weights):
        p, q = pair(weights)
        found = jensen_shannon(p, q)
        assert -1e-12 <= found <= math.log(2) + 1e-12
        torch.testing.assert_close(found, jensen_shannon(q, p))
        assert jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-12)
        part = disjoint_part(p, q)
        assert -1e-12 <= part <= found + 1e-12 or not ((p > 0) & (q > 0)).any()
        ceiling = divergence_ceiling(q, torch.ones(6, dtype=torch.bool))
        assert found <= ceiling + 1e-12

    def test_by_hand(self):
        p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
        assert jensen_shannon(p, q).item() == pytest.approx(math.log(2) / 2)
        assert disjoint_part(p, q).item() == pytest.approx(math.log(2) / 2)
        assert jensen_shannon(torch.eye(2)[0], torch.eye(2)[1]).item() == pytest.approx(CEILING)
        even = torch.full((4,), 0.25)
        # m is .625 on the chosen item and .125 on the three others.
        at_most = (math.log(1 / 0.625) + 0.25 * math.log(0.4) + 0.75 * math.log(2)) / 2
        found = divergence_ceiling(even, torch.ones(4, dtype=torch.bool))
        assert found.item() == pytest.approx(at_most)

    def test_the_ceiling_of_even_attention_is_the_one_of_any(self):
        lengths = np.array([1, 2, 5, 40])
        found = even_ceiling(lengths.astype(np.float32))
        for n, ceiling in zip(lengths, found, strict=True):
            even = torch.full((n,), 1 / n, dtype=torch.float64)
            expected = divergence_ceiling(even, torch.ones(n, dtype=torch.bool))
            assert ceiling == pytest.approx(expected.item(), abs=1e-12)
        assert found[0] == pytest.approx(0)
        assert even_ceiling(np.array([1e9])) == pytest.approx(CEILING)

    def test_each_row_is_by_itself(self):
        generator = torch.Generator().manual_seed(1)
        p, q = torch.rand(2, 3, 5, dtype=torch.float64, generator=generator).softmax(dim=-1)
        inside, some = torch.ones(3, 5, dtype=torch.bool), torch.where(p > 0.2, p, 0.0)
        for measure, more in (
            (jensen_shannon, p), (disjoint_part, some), (divergence_ceiling, inside)
        ):  # fmt: skip
            whole = measure(q, more)
            alone = torch.stack([measure(q[row], more[row]) for row in range(3)])
            torch.testing.assert_close(whole, alone)
            assert len(whole.unique()) == 3

    def test_what_is_not_inside_is_no_place_to_go(self):
        q = torch.tensor([[0.0, 0.5, 0.5, 0.0]])
        inside = torch.tensor([[False, True, True, False]])
        assert divergence_ceiling(q, inside) < CEILING - 0.2
        assert divergence_ceiling(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bool)) == 0

    def test_slope_is_right_where_it_is_smooth(self):
        generator = torch.Generator().manual_seed(0)
        drawn = torch.rand(2, 3, 5, dtype=torch.float64, generator=generator) + 0.1
        p, q = drawn.softmax(dim=-1).unbind()
        assert torch.autograd.gradcheck(jensen_shannon, (p.requires_grad_(), q.requires_grad_()))
        scores = drawn[0].clone().requires_grad_()
        mask = torch.ones(3, 5, dtype=torch.bool)
        for projection in ("softmax", "sparsemax"):
            assert torch.autograd.gradcheck(
                lambda a, name=projection: jensen_shannon(project(a, mask, name), q.detach()),
                scores,
            )

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_slope_is_finite_at_exact_zeros(self, dtype):
        p = torch.tensor([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0]], dtype=dtype)
        q = torch.tensor([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]], dtype=dtype)
        tiny = torch.finfo(dtype).tiny / 4  # half of which is zero, or nearly
        p[1, 3] = tiny
        p.requires_grad_(), q.requires_grad_()
        total = jensen_shannon(p, q).sum()
        assert total.isfinite()
        total.backward()
        assert p.grad.isfinite().all()
        assert q.grad.isfinite().all()

    def test_kullback_leibler_would_not_do(self):
        p, q = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
        assert (p * (p / q).log()).sum() == math.inf
        assert jensen_shannon(p, q) < CEILING
