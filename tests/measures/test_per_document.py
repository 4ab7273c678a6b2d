import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import roc_auc_score

from sparseattn.measures import kendall
from sparseattn.measures.kendall import kendall_tau, tau_ceiling
from sparseattn.measures.per_document import (
    IMPORTANCES,
    INFLUENCES,
    attended_auc,
    attended_mass,
    attended_share,
    dispersion,
    effective_tokens,
    entropy,
    influence_summary,
    mass_on,
    mean_over_tokens,
    measure,
    normalise,
    precision_at_k,
    support_size,
    tau_attended,
)

# Few distinct values, so that ties abound; several magnitudes, so that sums are not exact.
TIED = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 3.0, 1e-30, 1e30])


@st.composite
def documents(draw, values=TIED, smallest=0):
    count, n = draw(st.integers(1, 5)), draw(st.integers(max(1, smallest), 9))
    x = draw(arrays(np.float64, (count, n), elements=values))
    y = draw(arrays(np.float64, (count, n), elements=values))
    lengths = draw(arrays(np.int64, count, elements=st.integers(smallest, n)))
    return x, y, lengths


def row(*values):
    return np.array([values], dtype=float), np.array([len(values)])


def sparse(rng, shape, keep):
    values = rng.random(shape)
    values[rng.random(shape) > keep] = 0
    return values


class TestNormalise:
    def test_by_hand(self):
        values = np.array([[1.0, 3.0, 7.0], [0.0, 0.0, 5.0]])
        shares = normalise(values, np.array([2, 2]))
        np.testing.assert_array_equal(shares[0], [0.25, 0.75, 0])
        assert np.isnan(shares[1]).all()

    @given(documents())
    def test_shares_sum_to_one_and_padding_is_ignored(self, drawn):
        x, y, lengths = drawn
        shares = normalise(x, lengths)
        tokens = np.arange(x.shape[1]) < lengths[:, None]
        mass = np.where(tokens, x, 0).sum(axis=1) > 0
        np.testing.assert_allclose(shares[mass].sum(axis=1), 1)
        assert np.isnan(shares[~mass]).all()
        np.testing.assert_array_equal(shares, normalise(np.where(tokens, x, y), lengths))

    def test_survives_the_limits_of_float64(self):
        np.testing.assert_array_equal(normalise(*row(1e308, 1e308))[0], [0.5, 0.5])
        np.testing.assert_array_equal(normalise(*row(5e-324, 5e-324))[0], [0.5, 0.5])

    @pytest.mark.parametrize("bad", [-1.0, np.inf])
    def test_refuses_what_has_no_share(self, bad):
        with pytest.raises(ValueError, match="non-negative, finite"):
            normalise(*row(1.0, bad))

    def test_refuses_lengths_that_do_not_fit(self):
        with pytest.raises(ValueError, match="a row holds 2 tokens"):
            normalise(np.ones((1, 2)), np.array([3]))
        with pytest.raises(ValueError, match="one length for each document"):
            kendall.check_padded(np.ones((1, 2)), np.array([2, 2]))


class TestDispersion:
    def test_even_importance_is_as_dispersed_as_can_be_and_no_more(self):
        lengths = np.arange(2, 300)
        found = dispersion(np.ones((len(lengths), 300)), lengths)
        assert found.max() == 1  # not 1.0000000000000002
        assert_allclose(found, 1)

    def test_by_hand(self):
        assert dispersion(*row(1, 1, 1, 1))[0] == 1
        assert dispersion(*row(0, 3, 0, 0))[0] == 0
        assert dispersion(*row(1, 1, 0, 0))[0] == pytest.approx(0.5)
        assert effective_tokens(*row(2, 2, 2, 0, 0))[0] == pytest.approx(3)

    def test_undefined(self):
        assert np.isnan(dispersion(*row(1)))
        assert np.isnan(dispersion(*row(0, 0, 0)))
        assert np.isnan(effective_tokens(*row(0, 0)))
        assert effective_tokens(*row(7))[0] == 1

    @given(documents(st.floats(0, 1e6), smallest=2))
    def test_agrees_with_scipy(self, drawn):
        x, _, lengths = drawn
        expected = [
            scipy_entropy(a[:n] / a[:n].max()) if a[:n].max() > 0 else np.nan
            for a, n in zip(x, lengths, strict=True)
        ]
        np.testing.assert_allclose(entropy(x, lengths), expected, atol=1e-12)
        np.testing.assert_allclose(dispersion(x, lengths), expected / np.log(lengths), atol=1e-12)

    @given(documents(smallest=2), st.randoms(use_true_random=False), st.floats(1e-3, 1e3))
    def test_ignores_order_and_scale(self, drawn, random, scale):
        x, _, lengths = drawn
        moved = x.copy()
        for i, n in enumerate(lengths):
            moved[i, :n] = random.sample(list(x[i, :n]), int(n))
        np.testing.assert_allclose(
            dispersion(scale * moved, lengths), dispersion(x, lengths), atol=1e-12
        )


class TestAttended:
    def test_support_by_hand(self):
        attention = np.array([[0.5, 0.5, 0.0, 0.9], [1.0, 0.0, 0.0, 0.0]])
        lengths = np.array([3, 0])
        np.testing.assert_array_equal(support_size(attention, lengths), [2, 0])
        np.testing.assert_array_equal(attended_share(attention, lengths), [2 / 3, np.nan])

    @given(documents())
    def test_auc_agrees_with_scikit_learn(self, drawn):
        attention, importance, lengths = drawn
        expected = [
            roc_auc_score(a[:n] > 0, b[:n]) if 0 < (a[:n] > 0).sum() < n else np.nan
            for a, b, n in zip(attention, importance, lengths, strict=True)
        ]
        np.testing.assert_allclose(
            attended_auc(attention, importance, lengths), expected, atol=1e-12
        )

    def test_auc_has_no_ceiling_under_ties(self):
        attention = row(0, 0, 0, 0.4, 0.6)
        importance = row(1, 2, 3, 4, 5)[0]
        assert attended_auc(attention[0], importance, attention[1])[0] == 1
        assert kendall_tau(attention[0], importance, attention[1])[0] < 0.9

    def test_mass(self):
        attention, lengths = row(0.2, 0.8, 0, 0)
        assert attended_mass(attention, row(1, 2, 3, 4)[0], lengths)[0] == pytest.approx(0.3)
        assert np.isnan(attended_mass(attention, row(0, 0, 0, 0)[0], lengths))
        evidence = np.array([[False, False, False, True]])
        assert mass_on(evidence, row(1, 2, 3, 4)[0], lengths)[0] == pytest.approx(0.4)

    @given(documents())
    def test_uniform_importance_is_no_lift(self, drawn):
        attention, _, lengths = drawn
        np.testing.assert_allclose(
            attended_mass(attention, np.ones_like(attention), lengths),
            attended_share(attention, lengths),
        )


def precision_by_shuffling(attention, importance, k, rounds=4_000):
    """Break ties by a random second key, over and over."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(rounds):
        one = np.lexsort((rng.random(len(attention)), -attention))[:k]
        other = np.lexsort((rng.random(len(attention)), -importance))[:k]
        hits += len(set(one) & set(other))
    return hits / rounds / k


class TestPrecision:
    def test_by_hand(self):
        attention, lengths = row(0.6, 0.4, 0, 0)
        assert precision_at_k(attention, row(9, 1, 8, 7)[0], lengths)[0] == 0.5
        # One place left for two tied tokens.
        assert precision_at_k(attention, row(9, 1, 1, 0)[0], lengths)[0] == 0.75
        k = np.array([99])
        assert precision_at_k(attention, row(1, 2, 3, 4)[0], lengths, k)[0] == 1
        assert np.isnan(precision_at_k(attention * 0, row(1, 2, 3, 4)[0], lengths))

    @pytest.mark.parametrize("k", [1, 2, 3, 5])
    def test_ties_are_broken_at_random(self, k):
        attention, lengths = row(0.5, 0.3, 0.2, 0, 0, 0)
        importance = row(2, 2, 5, 2, 0, 0)[0]
        expected = precision_by_shuffling(attention[0], importance[0], k)
        got = precision_at_k(attention, importance, lengths, np.array([k]))[0]
        assert got == pytest.approx(expected, abs=0.03)

    @given(documents(smallest=1))
    def test_no_information_is_chance(self, drawn):
        attention, _, lengths = drawn
        k = np.maximum(1, lengths // 2)
        got = precision_at_k(attention, np.ones_like(attention), lengths, k)
        np.testing.assert_allclose(got, k / lengths)


class TestInfluence:
    def test_by_hand(self):
        summary = influence_summary(np.array([[2.0, 1.0, 1.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]))
        np.testing.assert_array_equal(summary["influence_self_share"], [0.5, 0, np.nan])
        np.testing.assert_array_equal(summary["influence_self_rank"], [1, 2.5, np.nan])
        np.testing.assert_array_equal(summary["influence_window_share"], [1, 1, np.nan])
        assert summary["influence_dispersion"][1] == 0

    def test_window(self):
        influence = np.ones((7, 7), dtype=np.float32)
        got = influence_summary(influence)["influence_window_share"]
        np.testing.assert_allclose(got, np.array([3, 4, 5, 5, 5, 4, 3]) / 7)
        np.testing.assert_allclose(influence_summary(influence, 0)["influence_window_share"], 1 / 7)

    def test_names_and_sizes(self):
        assert tuple(influence_summary(np.eye(3))) == INFLUENCES
        for n in (0, 1):
            assert all(len(v) == n for v in influence_summary(np.ones((n, n))).values())

    def test_rows_of_identity_owe_all_to_themselves(self):
        summary = influence_summary(np.eye(4))
        np.testing.assert_array_equal(summary["influence_self_share"], 1)
        np.testing.assert_array_equal(summary["influence_self_rank"], 1)
        np.testing.assert_array_equal(summary["influence_dispersion"], 0)


@pytest.fixture
def traces():
    rng = np.random.default_rng(5)
    traces = {name: rng.random((6, 12)).astype(np.float32) for name in IMPORTANCES + INFLUENCES}
    traces["influence_self_rank"] = rng.integers(1, 3, (6, 12)).astype(np.float32)
    traces["attention"] = sparse(rng, (6, 12), 0.5).astype(np.float32)
    traces["labels"] = np.array([0, 1, 0, 1, 0, 1], dtype=np.float32)
    traces["logit"] = np.array([-1, 2, 3, -4, -5, 6], dtype=np.float32)
    traces["evidence"] = rng.random((6, 12)) < 0.3
    return traces


class TestMeasure:
    lengths = np.array([12, 0, 1, 2, 7, 12])

    def test_columns_are_the_measures(self, traces):
        frame = measure(traces, self.lengths)
        assert (frame.dtypes == np.float64).all()
        assert frame.index.name == "document"
        attention, loo = traces["attention"], traces["inputs_loo"]
        expected = {
            "length": self.lengths,
            "correct": [1, 1, 0, 0, 1, 1],
            "support": support_size(attention, self.lengths),
            "attention_dispersion": dispersion(attention, self.lengths),
            "tau_inputs_loo": kendall_tau(attention, loo, self.lengths),
            "auc_inputs_loo": attended_auc(attention, loo, self.lengths),
            "mass_inputs_loo": attended_mass(attention, loo, self.lengths),
            "dispersion_inputs_loo": dispersion(loo, self.lengths),
            "evidence_mass_inputs_loo": mass_on(traces["evidence"], loo, self.lengths),
            "tau_between_inputs_gradient_loo": kendall_tau(
                traces["inputs_gradient"], loo, self.lengths
            ),
            "influence_dispersion": mean_over_tokens(traces["influence_dispersion"], self.lengths),
        }
        marked, gradient = traces["evidence"], traces["hidden_gradient"]
        tenth = np.ceil(self.lengths / 10).astype(int)
        ceiling = tau_ceiling(attention, self.lengths, gradient)
        with np.errstate(invalid="ignore"):
            share = (marked & (np.arange(12) < self.lengths[:, None])).sum(axis=1) / self.lengths
        expected |= {
            "label": traces["labels"],
            "logit": traces["logit"],
            "support_share": attended_share(attention, self.lengths),
            "attention_effective": effective_tokens(attention, self.lengths),
            "tau_ceiling": tau_ceiling(attention, self.lengths),
            "evidence_share": share,
            "attention_evidence_mass": mass_on(marked, attention, self.lengths),
            "effective_hidden_gradient": effective_tokens(gradient, self.lengths),
            "tau_relative_hidden_gradient": kendall_tau(attention, gradient, self.lengths)
            / ceiling,
            "precision_hidden_gradient": precision_at_k(attention, gradient, self.lengths, tenth),
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(frame[name], values, err_msg=name)
        top = [(traces["influence_self_rank"][4, :7] == 1).mean()]
        np.testing.assert_allclose(frame["influence_top1"].iloc[[4]], top)

    def test_single_precision_measures_as_double(self, traces):
        double = {
            name: value.astype(np.float64) if value.dtype == np.float32 else value
            for name, value in traces.items()
        }
        left, right = measure(traces, self.lengths), measure(double, self.lengths)
        np.testing.assert_allclose(left, right, rtol=1e-12)

    def test_what_is_absent_is_left_out(self, traces):
        del traces["evidence"], traces["inputs_loo"], traces["labels"]
        for name in INFLUENCES:
            del traces[name]
        columns = set(measure(traces, self.lengths).columns)
        assert not [c for c in columns if "evidence" in c or "influence" in c]
        assert "tau_inputs_loo" not in columns
        assert "tau_between_inputs_gradient_loo" not in columns
        assert {"label", "correct"}.isdisjoint(columns)
        assert "tau_inputs_gradient" in columns
        assert list(measure({}, self.lengths).columns) == ["length"]

    def test_relative_agreement_never_passes_one(self, traces):
        traces["hidden_loo"] = np.where(traces["attention"] > 0, traces["hidden_loo"], 0)
        frame = measure(traces, self.lengths)
        relative = frame.filter(regex="^tau_relative").to_numpy()
        assert np.nanmax(abs(relative)) <= 1 + 1e-12
        traces["hidden_loo"] = traces["attention"] ** 2
        frame = measure(traces, self.lengths)
        np.testing.assert_allclose(frame["tau_relative_hidden_loo"].dropna(), 1)

    def test_padding_is_ignored(self, traces):
        clean = measure(traces, self.lengths)
        padding = np.arange(12) >= self.lengths[:, None]
        dirty = {
            name: np.where(padding, 1, value).astype(value.dtype) if value.ndim == 2 else value
            for name, value in traces.items()
        }
        np.testing.assert_array_equal(clean, measure(dirty, self.lengths))


def test_agreement_among_attended_tokens():
    """By hand, and the same as over all tokens where all are attended."""
    lengths = np.array([5, 3, 4])
    weights = np.array([[0.5, 0, 0.3, 0.2, 0], [0.4, 0.6, 0, 0.0, 0.0], [1, 0, 0, 0, 0]])
    importance = np.array([[2.0, 9, 1, 3, 9], [1, 2, 7, 0, 0], [1, 2, 3, 4, 0]])
    # of 0.5 > 0.3 > 0.2 and 2, 1, 3: one pair agrees, two do not
    assert_allclose(tau_attended(weights, importance, lengths), [-1 / 3, 1, np.nan])
    every = np.arange(1.0, 16).reshape(3, 5) % 7 + 1
    assert_array_equal(
        tau_attended(every, importance, lengths), kendall_tau(every, importance, lengths)
    )
