import numpy as np
import pytest

from sparseattn.measures.kendall import kendall_tau
from sparseattn.measures.nulls import GRADIENTS, null_dispersion, null_influence, null_tau_sd
from sparseattn.measures.per_document import dispersion, influence_summary


class TestNullDispersion:
    def test_figures_of_the_referee(self):
        np.testing.assert_allclose(null_dispersion(np.array([179, 19])), [0.945, 0.907], atol=6e-4)

    @pytest.mark.parametrize(
        ("n", "error"), [(2, 0.05), (5, 0.005), (10, 0.0015), (40, 0.001), (200, 0.001)]
    )
    def test_agrees_with_simulation(self, n, error):
        noise = abs(np.random.default_rng(n).normal(size=(20_000, n)))
        simulated = dispersion(noise, np.full(len(noise), n)).mean()
        assert null_dispersion(np.array(n)) == pytest.approx(simulated, abs=error)

    @pytest.mark.parametrize("n", [5, 19, 179])
    def test_lengths_of_vectors(self, n):
        noise = np.linalg.norm(np.random.default_rng(n).normal(size=(400, n, GRADIENTS)), axis=2)
        simulated = dispersion(noise, np.full(len(noise), n)).mean()
        assert null_dispersion(np.array(n), GRADIENTS) == pytest.approx(simulated, abs=5e-5)
        assert simulated > 0.999

    def test_shape_and_limits(self):
        values = null_dispersion(np.array([[0, 1, 2], [10, 100, 10**9]]))
        assert values.shape == (2, 3)
        assert np.isnan(values[0, :2]).all()
        assert (np.diff(values[1]) > 0).all()
        assert values[1, 2] < 1

    @pytest.mark.parametrize("dimensions", [1, GRADIENTS])
    def test_it_is_an_expansion_in_one_over_n_from_two_on(self, dimensions):
        n = np.array([5, 10, 2, 3, 400])
        entropy = null_dispersion(n, dimensions) * np.log(n)
        terms = np.stack([np.ones(5), 1 / n], axis=1)
        fitted = np.linalg.solve(terms[:2], (entropy - np.log(n))[:2])
        np.testing.assert_allclose(entropy, np.log(n) + terms @ fitted)


class TestNullInfluence:
    @pytest.mark.parametrize("n", [1, 2, 4, 5, 12])
    def test_agrees_with_exchangeable_inputs(self, n):
        rng = np.random.default_rng(n)
        draws = [influence_summary(rng.random((n, n))) for _ in range(2000)]
        expected = {name: values[0] for name, values in null_influence(np.array([n])).items()}
        for name in ("influence_self_share", "influence_self_rank", "influence_window_share"):
            means = [draw[name].mean() for draw in draws]
            error = 4 * np.std(means) / np.sqrt(len(means)) + 1e-12
            assert np.mean(means) == pytest.approx(expected[name], abs=error)
        first = [(draw["influence_self_rank"] == 1).mean() for draw in draws]
        assert np.mean(first) == pytest.approx(expected["influence_top1"], abs=0.02)


class TestNullTau:
    @pytest.mark.parametrize(("n", "support"), [(10, 10), (30, 5), (30, 1), (60, 20)])
    def test_agrees_with_permutations(self, n, support):
        rng = np.random.default_rng(0)
        attention = np.zeros((20_000, n))
        attention[:, :support] = np.arange(1, support + 1)
        shuffled = rng.random((20_000, n))
        tau = kendall_tau(attention, shuffled, np.full(20_000, n))
        assert null_tau_sd(n, [n - support]) == pytest.approx(tau.std(), rel=0.03)
        assert abs(tau.mean()) < 4 * tau.std() / np.sqrt(20_000)

    def test_two_tokens(self):
        assert null_tau_sd(2) == 1
        assert np.isnan(null_tau_sd(2, [2]))
        assert np.isnan(null_tau_sd(1))

    def test_refuses_more_ties_than_tokens(self):
        with pytest.raises(ValueError, match="of only 3 tokens"):
            null_tau_sd(3, [2, 2])
