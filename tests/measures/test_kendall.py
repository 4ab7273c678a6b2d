import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from sparseattn.measures import kendall
from sparseattn.measures.kendall import kendall_tau, tau_ceiling

# Few distinct values, so that ties abound; several magnitudes, so that sums are not exact.
TIED = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 3.0, 1e-30, 1e30])


@st.composite
def documents(draw):
    count, n = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    x = draw(arrays(np.float64, (count, n), elements=TIED))
    y = draw(arrays(np.float64, (count, n), elements=TIED))
    lengths = draw(arrays(np.int64, count, elements=st.integers(0, n)))
    return x, y, lengths


def row(*values):
    return np.array([values], dtype=float), np.array([len(values)])


def scipy_tau(x, y, lengths):
    return np.array(
        [
            kendalltau(a[:n], b[:n]).statistic if n > 1 else np.nan
            for a, b, n in zip(x, y, lengths, strict=True)
        ]
    )


def sparse(rng, shape, keep):
    values = rng.random(shape)
    values[rng.random(shape) > keep] = 0
    return values


class TestKendallTau:
    def test_by_hand(self):
        one, n = row(1, 2, 3, 4)
        # 5 of 6 pairs agree, 1 does not.
        assert kendall_tau(one, row(1, 2, 4, 3)[0], n)[0] == pytest.approx(4 / 6)
        # x ties in one pair of six; of the others 5 agree.
        assert kendall_tau(row(0, 0, 1, 2)[0], one, n)[0] == pytest.approx(5 / math.sqrt(5 * 6))

    @settings(max_examples=300)
    @given(documents())
    def test_equals_scipy_under_ties(self, drawn):
        x, y, lengths = drawn
        np.testing.assert_allclose(
            kendall_tau(x, y, lengths), scipy_tau(x, y, lengths), rtol=0, atol=1e-12
        )

    @pytest.mark.parametrize("n", [2, 3, 16, 17, 63, 64, 65, 128, 179, 500])
    def test_equals_scipy_at_length(self, n):
        rng = np.random.default_rng(n)
        x, y = sparse(rng, (20, n), 0.2), rng.random((20, n))
        y[10:] = y[10:].round(1)
        lengths = np.r_[np.full(10, n), rng.integers(0, n + 1, 10)]
        np.testing.assert_allclose(
            kendall_tau(x, y, lengths), scipy_tau(x, y, lengths), rtol=0, atol=1e-12
        )

    def test_a_very_long_document(self):
        rng = np.random.default_rng(0)
        x, y = sparse(rng, (1, 40_000), 0.3), rng.random((1, 40_000)).astype(np.float32)
        lengths = np.array([40_000])
        tracemalloc.start()
        tau = kendall_tau(x, y, lengths)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert tau[0] == pytest.approx(kendalltau(x[0], y[0]).statistic, abs=1e-12)
        assert peak < 150 * 40_000

    def test_memory_is_bounded_over_documents(self):
        rng = np.random.default_rng(0)
        x, lengths = rng.random((4_000, 100)), np.full(4_000, 100)
        tracemalloc.start()
        kendall_tau(x, x, lengths)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 150 * kendall.BLOCK_TOKENS

    def test_blocks_do_not_change_the_numbers(self, monkeypatch):
        rng = np.random.default_rng(1)
        x, y, lengths = rng.random((50, 30)), rng.random((50, 30)), rng.integers(0, 31, 50)
        whole = kendall_tau(x, y, lengths)
        monkeypatch.setattr(kendall, "BLOCK_TOKENS", 70)
        np.testing.assert_array_equal(kendall_tau(x, y, lengths), whole)

    @given(documents())
    def test_laws(self, drawn):
        x, y, lengths = drawn
        tau = kendall_tau(x, y, lengths)
        known = tau[~np.isnan(tau)]
        assert (abs(known) <= 1).all()
        np.testing.assert_allclose(tau, kendall_tau(y, x, lengths), atol=1e-15)
        np.testing.assert_allclose(tau, -kendall_tau(-x, y, lengths), atol=1e-15)
        np.testing.assert_array_equal(tau, kendall_tau(np.cbrt(x), y, lengths))
        own = kendall_tau(x, x, lengths)
        np.testing.assert_allclose(own[~np.isnan(own)], 1)

    def test_undefined(self):
        assert np.isnan(kendall_tau(*row(1)[:1], *row(1)))
        assert np.isnan(kendall_tau(row(1, 1)[0], *row(1, 2)))
        assert np.isnan(kendall_tau(row(1, np.nan, 2)[0], *row(1, 2, 3)))
        assert kendall_tau(row(1, 2, np.nan)[0], row(1, 2, 3)[0], np.array([2]))[0] == 1
        assert kendall_tau(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, dtype=int)).shape == (0,)
        assert np.isnan(kendall_tau(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros(2, int))).all()

    def test_infinity_is_a_value(self):
        x = row(-np.inf, 1, np.inf, np.inf)
        assert kendall_tau(x[0], *x)[0] == 1


class TestCeiling:
    @pytest.mark.parametrize(
        ("support", "expected"), [(5, 0.235), (10, 0.330), (20, 0.460), (40, 0.631)]
    )
    def test_figures_of_the_referee(self, support, expected):
        x = np.zeros((1, 179))
        x[0, :support] = np.arange(1, support + 1)
        assert tau_ceiling(x, np.array([179]))[0] == pytest.approx(expected, abs=5e-4)

    def test_no_tie_no_ceiling(self):
        assert tau_ceiling(*row(3, 1, 2))[0] == 1

    @settings(max_examples=60)
    @given(st.lists(st.integers(0, 3), min_size=2, max_size=6))
    def test_is_reached_and_never_passed(self, x):
        orders = np.array(list(itertools.permutations(range(len(x)))), dtype=float)
        x = np.broadcast_to(np.array(x, dtype=float), orders.shape)
        lengths = np.full(len(orders), orders.shape[1])
        ceiling = tau_ceiling(x, lengths)
        if np.isnan(ceiling[0]):
            assert len(set(x[0])) == 1
        else:
            assert kendall_tau(x, orders, lengths).max() == pytest.approx(ceiling[0], abs=1e-12)

    @settings(max_examples=60)
    @given(
        st.integers(2, 6).flatmap(
            lambda n: st.tuples(
                *[st.lists(st.integers(0, 3), min_size=n, max_size=n) for _ in range(2)]
            )
        )
    )
    def test_with_ties_on_both_sides(self, pair):
        x, y = (np.array(values, dtype=float) for values in pair)
        orders = np.array(list(itertools.permutations(y)))
        many, lengths = np.broadcast_to(x, orders.shape), np.full(len(orders), len(x))
        ceiling = tau_ceiling(many, lengths, against=orders)
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert kendall_tau(many, orders, lengths).max() == pytest.approx(ceiling[0], abs=1e-12)
        else:
            assert np.isnan(ceiling).all()
