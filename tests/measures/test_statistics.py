import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparseattn.measures import statistics
from sparseattn.measures.statistics import (
    compare,
    correlate,
    differences,
    estimate,
    linearised,
    mean_interval,
    summarise,
    trend,
)


def crossed(rng, cells, seeds, documents, sd_seed, sd_document, sd_rest):
    """Return (seeds, documents, cells) tables whose true mean is 0; documents are skewed."""
    return (
        sd_seed * rng.normal(size=(seeds, 1, cells))
        + sd_document * (rng.exponential(size=(1, documents, cells)) - 1)
        + sd_rest * rng.normal(size=(seeds, documents, cells))
    )


class TestLinearised:
    rng = np.random.default_rng(0)
    weight = pd.Series(rng.exponential(size=400))
    value = weight + pd.Series(rng.normal(size=400))
    by = pd.Series(np.repeat(["a", "b"], 200))

    def test_its_mean_is_the_weighted_mean_of_each_group(self):
        found = linearised(self.value, self.weight, self.by).groupby(self.by).mean()
        for name, one in found.items():
            own = self.by == name
            assert one == pytest.approx(np.average(self.value[own], weights=self.weight[own]))

    def test_equal_weights_change_nothing(self):
        found = linearised(self.value, 0 * self.weight + 3, self.by)
        np.testing.assert_allclose(found, self.value)

    def test_its_spread_is_that_of_the_weighted_mean_by_the_bootstrap(self):
        def ratio(value, weight, axis=-1):
            return (value * weight).sum(axis) / weight.sum(axis)

        own = self.by == "a"
        value, weight = self.value[own].to_numpy(), self.weight[own].to_numpy()
        boot = stats.bootstrap((value, weight), ratio, paired=True, rng=np.random.default_rng(0))
        found = linearised(self.value, self.weight, self.by)[own]
        assert found.std() / np.sqrt(own.sum()) == pytest.approx(boot.standard_error, rel=0.1)

    def test_what_has_no_weight_or_no_value_does_not_count(self):
        value, weight = pd.Series([1.0, 2, 1e9, np.nan, np.nan]), pd.Series([1.0, 3, 0, 0, 9])
        found = linearised(value, weight, pd.Series(["a"] * 5))
        assert found[:4].mean() == pytest.approx(1.75)
        assert found[2:4].tolist() == [1.75, 1.75]
        assert np.isnan(found[4])
        assert linearised(value, 0 * weight, pd.Series(["a"] * 5)).isna().all()


class TestMeanInterval:
    def test_agrees_with_scipy(self):
        values = np.random.default_rng(0).random(50)
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        got = mean_interval(values)
        assert got.value == pytest.approx(values.mean())
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high))

    def test_agrees_with_the_bca_bootstrap(self):
        # As skewed as leave-one-out agreement gets, with the number of documents we observe.
        values = np.random.default_rng(1).beta(0.5, 2, size=300)
        bca = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
        got = mean_interval(values)
        width = bca.high - bca.low
        assert abs(got.low - bca.low) < 0.1 * width
        assert abs(got.high - bca.high) < 0.1 * width

    def test_the_undefined(self):
        got = mean_interval(np.array([1.0, np.nan, 3.0]))
        assert (got.value, got.points) == (2, 2)
        assert mean_interval(np.array([np.nan])) == pytest.approx((np.nan,) * 3 + (0,), nan_ok=True)

    def test_one_value_has_no_interval_and_two_have(self):
        one = mean_interval(np.array([1.5], np.float32))
        assert one == pytest.approx((1.5, np.nan, np.nan, 1), nan_ok=True)
        half = stats.t.ppf(0.975, 1)  # of s/√2 = 1
        assert mean_interval(np.array([1.0, 3.0])) == pytest.approx((2, 2 - half, 2 + half, 2))

    def test_sums_are_of_64_bits(self):
        values = np.random.default_rng(0).random(3_000).astype(np.float32)
        assert mean_interval(values).value == values.astype(np.float64).mean()


class TestEstimate:
    def test_by_hand(self):
        got = estimate(np.array([[1.0, 3.0], [2.0, 6.0]]))
        assert got["mean"] == 3
        # Seed means 2 and 4; within seeds, deviations ∓1 and ∓2.
        assert got["sd_seeds"] == pytest.approx(np.sqrt(2))
        assert got["sd_documents"] == pytest.approx(np.sqrt((2 + 8) / 2))
        assert (got["seeds"], got["documents"], got["undefined"]) == (2, 2, 0)
        # By seeds MS 4, by documents 9, the rest 1: (9 + 4 − 1) / 4 is the mean's variance.
        assert got["se"] == pytest.approx(3**0.5)
        freedom = 12**2 / (4**2 / 1 + 9**2 / 1)
        assert got["high"] == pytest.approx(3 + stats.t.ppf(0.975, freedom) * 3**0.5)

    def test_the_spread_within_seeds_is_pooled(self):
        values = np.random.default_rng(4).random((3, 7))
        within = np.mean([one.var(ddof=1) for one in values]) ** 0.5
        assert estimate(values)["sd_documents"] == pytest.approx(within)

    def test_of_one_document_or_none_what_is_not_known_is_nan(self):
        one = estimate(np.array([[1.0], [2.0]]))
        assert (one["mean"], one["documents"]) == (1.5, 1)
        assert np.isnan([one["sd_documents"], one["low"], one["high"]]).all()
        none = estimate(np.zeros((0, 3, 2)))
        assert none["undefined"].dtype == np.float64
        assert np.isnan([none["undefined"], none["mean"]]).all()

    def test_a_quantity_without_a_value_takes_nothing_from_another(self):
        values = np.random.default_rng(5).random((2, 4))
        both = estimate(np.stack([values, np.full_like(values, np.nan)], axis=-1))
        assert both["documents"].tolist() == [4, 0]
        assert both["seeds"].tolist() == [2, 0]
        for name, expected in estimate(values).items():
            assert both[name][0] == pytest.approx(expected)

    def test_mean_squares_are_those_of_the_two_way_table(self):
        rng = np.random.default_rng(0)
        table = crossed(rng, 1, 4, 9, 1.0, 1.0, 0.5)[..., 0]
        seeds, documents = np.indices(table.shape)
        # Sums of squares by projection on indicator columns, not by formula.
        total = table.ravel() - table.mean()

        def explained(*factors):
            columns = np.hstack([np.eye(f.max() + 1)[f.ravel()] for f in factors])
            fit = columns @ np.linalg.lstsq(columns, total, rcond=None)[0]
            return (fit**2).sum()

        ms_seed, ms_document = explained(seeds) / 3, explained(documents) / 8
        ms_rest = ((total**2).sum() - explained(seeds, documents)) / 24
        added = max(ms_seed - ms_rest, 0)
        freedom = (ms_document + added) ** 2 / (ms_seed**2 / 3 + ms_document**2 / 8)
        half = stats.t.ppf(0.975, freedom) * np.sqrt((ms_document + added) / 36)
        assert estimate(table)["high"] - table.mean() == pytest.approx(half)

    def test_one_seed_is_the_interval_over_documents(self):
        values = np.random.default_rng(0).random(40)
        got, expected = estimate(values[None]), mean_interval(values)
        assert (got["low"], got["high"]) == pytest.approx((expected.low, expected.high))
        assert np.isnan(got["sd_seeds"])

    def test_equal_seeds_add_nothing(self):
        values = np.random.default_rng(0).random(40)
        got, expected = estimate(np.tile(values, (3, 1))), mean_interval(values)
        assert got["high"] == pytest.approx(expected.high)
        assert got["sd_seeds"] == pytest.approx(0)

    def test_constant(self):
        got = estimate(np.full((3, 5), 0.5))
        assert got["low"] == got["high"] == got["mean"] == 0.5

    def test_a_seed_or_document_without_value_is_left_out(self):
        values = np.random.default_rng(0).random((3, 10)) + np.arange(3)[:, None]
        broken = values.copy()
        broken[1] = np.nan
        broken[0, 4] = np.nan
        got = estimate(broken)
        expected = estimate(np.delete(values[[0, 2]], 4, axis=1))
        assert (got["seeds"], got["documents"]) == (2, 9)
        for name in set(expected) - {"undefined"}:
            assert got[name] == pytest.approx(expected[name])
        assert got["undefined"] == pytest.approx(11 / 30)

    def test_nothing_defined(self):
        got = estimate(np.full((2, 3), np.nan))
        assert np.isnan([got["mean"], got["low"], got["sd_documents"]]).all()
        assert (got["seeds"], got["documents"], got["undefined"]) == (0, 0, 1)

    def test_quantities_do_not_mix(self):
        tables = crossed(np.random.default_rng(0), 4, 3, 8, 1, 1, 1)
        tables[0, 1, 2] = np.nan
        together = estimate(tables)
        for i in range(4):
            for name, value in estimate(tables[..., i]).items():
                assert together[name][i] == pytest.approx(value), name

    @pytest.mark.parametrize("sd_seed", [0.0, 0.03, 0.1])
    @pytest.mark.parametrize("seeds", [3, 5])
    def test_covers_as_often_as_it_says(self, seeds, sd_seed):
        rng = np.random.default_rng(seeds)
        got = estimate(crossed(rng, 1_500, seeds, 100, sd_seed, 0.1, 0.1))
        covered = ((got["low"] <= 0) & (got["high"] >= 0)).mean()
        assert 0.92 <= covered <= 0.98

    def test_resampling_three_seeds_would_not(self):
        rng = np.random.default_rng(0)
        covered = []
        for table in np.moveaxis(crossed(rng, 300, 3, 100, 0.1, 0.1, 0.1), 2, 0):
            seed = rng.multinomial(3, [1 / 3] * 3, size=300) / 3
            document = rng.multinomial(100, [0.01] * 100, size=300) / 100
            low, high = np.percentile(((seed @ table) * document).sum(axis=1), [2.5, 97.5])
            covered.append(low <= 0 <= high)
        assert np.mean(covered) < 0.85

    def test_agrees_with_resampling_many_seeds(self):
        rng = np.random.default_rng(0)
        table = crossed(rng, 1, 60, 100, 0.1, 0.1, 0.1)[..., 0]
        seed = rng.multinomial(60, [1 / 60] * 60, size=4_000) / 60
        document = rng.multinomial(100, [0.01] * 100, size=4_000) / 100
        low, high = np.percentile(((seed @ table) * document).sum(axis=1), [2.5, 97.5])
        got = estimate(table)
        assert abs(got["low"] - low) < 0.12 * (high - low)
        assert abs(got["high"] - high) < 0.12 * (high - low)


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    rows = [
        {
            "projection": projection,
            "lam": lam,
            "seed": seed,
            "document": document,
            "tau": rng.random() - (0 if np.isnan(lam) else lam),
            "dispersion": rng.random(),
        }
        for (projection, lam), seed, document in itertools.product(
            [("softmax", np.nan), ("sparsegen", 0.0), ("sparsegen", 0.5)], range(2), "abcd"
        )
    ]
    return pd.DataFrame(rows)


BY = ["projection", "lam"]


class TestSummarise:
    def test_each_cell_by_itself(self, frame):
        got = summarise(frame, BY)
        assert len(got) == 6
        for _, row in got.iterrows():
            same = frame["lam"].eq(row["lam"]) | (frame["lam"].isna() & np.isnan(row["lam"]))
            part = frame[frame["projection"].eq(row["projection"]) & same]
            table = part.pivot_table(row["quantity"], "seed", "document").to_numpy()
            for name, value in estimate(table).items():
                assert row[name] == pytest.approx(value), name

    def test_order_of_rows_does_not_matter(self, frame):
        expected = summarise(frame, BY).sort_values([*BY, "quantity"], ignore_index=True)
        shuffled = summarise(frame.sample(frac=1, random_state=0), BY)
        shuffled = shuffled.sort_values([*BY, "quantity"], ignore_index=True)
        pd.testing.assert_frame_equal(expected, shuffled)

    def test_documents_and_seeds_in_the_index(self, frame):
        indexed = frame.set_index(["seed", "document"])
        pd.testing.assert_frame_equal(summarise(indexed, BY), summarise(frame, BY))

    def test_one_cell_and_none(self, frame):
        one = summarise(frame.query("lam == 0"), [], ["tau"])
        assert len(one) == 1
        empty = summarise(frame.iloc[:0], BY, ["tau"])
        assert list(empty.columns) == list(summarise(frame, BY, ["tau"]).columns)

    def test_cells_stand_in_the_frames_order_and_missing_values_are_a_cell(self, frame):
        turned = frame.iloc[::-1].assign(projection=frame["projection"].astype("category"))
        turned["projection"] = turned["projection"].cat.add_categories("entmax")
        found = summarise(turned, BY, ["tau"])
        assert list(found.index) == [0, 1, 2]
        assert found["lam"].to_list() == pytest.approx([0.5, 0.0, np.nan], nan_ok=True)
        assert summarise(frame.iloc[:0], [], ["tau"]).empty

    def test_an_index_without_a_name_is_no_quantity(self, frame):
        indexed = frame.set_index(["seed", "document"]).set_index(
            pd.RangeIndex(len(frame)), append=True
        )
        assert set(summarise(indexed, BY)["quantity"]) == {"tau", "dispersion"}

    def test_refuses_what_it_cannot_tell_apart(self, frame):
        with pytest.raises(ValueError, match="lacks the column"):
            summarise(frame, ["projection"])

    def test_names_the_nearest_column(self, frame):
        with pytest.raises(ValueError, match=r"No column 'taus'.* Did you mean 'tau'"):
            summarise(frame, BY, ["taus"])


class TestDifferences:
    def test_paired(self, frame):
        # Documents differ much, the two settings by a constant.
        easy = frame["document"].map({"a": 0.0, "b": 10.0, "c": 20.0, "d": 30.0})
        frame = frame.assign(tau=easy + np.where(frame["lam"] == 0.5, 0.25, 0))
        got = differences(frame.dropna(), "lam", (0.5, 0.0), ["projection"], ["tau"])
        row = got.iloc[0]
        assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.25, 0.25, 0.25))

    def test_of_all_quantities_unless_told(self, frame):
        known = frame.dropna()
        told = differences(known, "lam", (0.5, 0.0), ["projection"], ["tau", "dispersion"])
        found = differences(known, "lam", (0.5, 0.0), ["projection"])
        pd.testing.assert_frame_equal(found, told)
        one = differences(known, "lam", (0.5, 0.0), ["projection"], ["tau"])
        assert one["quantity"].to_list() == ["tau"]
        with pytest.raises(ValueError, match="No column 'taus'"):
            differences(known, "lam", (0.5, 0.0), ["projection"], ["taus"])

    def test_agrees_with_scipy_for_one_seed(self, frame):
        one = frame[frame["seed"] == 0].dropna()
        a, b = (one.loc[one["lam"] == lam, "tau"].to_numpy() for lam in (0.5, 0.0))
        expected = stats.ttest_rel(a, b).confidence_interval()
        got = differences(one, "lam", (0.5, 0.0), ["projection"], ["tau"]).iloc[0]
        assert (got["low"], got["high"]) == pytest.approx((expected.low, expected.high))

    def test_refuses(self, frame):
        with pytest.raises(ValueError, match=r"No rows with projection = 'entmax'.*softmax"):
            differences(frame, "projection", ("entmax", "softmax"), [], ["tau"])
        with pytest.raises(ValueError, match="Several rows with projection = 'sparsegen'"):
            differences(frame, "projection", ("softmax", "sparsegen"), [], ["tau"])


LAMS = np.array([-50, -35, -25, -15, -10, 0, 0.3, 0.6])


def no_trend(world, rng, lams, seeds):
    """Runs (seeds, λ) of a quantity that no trend is in, however dependent within a seed."""
    noise = rng.normal(size=(seeds, len(lams)))
    if world == "walk":
        return noise.cumsum(axis=1)
    level = 3 * rng.normal(size=(seeds, 1))
    if world == "own slope":  # a seed's runs go its own way
        return level + 0.3 * noise + rng.normal(size=(seeds, 1)) * np.arange(len(lams))
    return level + noise if world == "level" else noise


class TestTrend:
    def test_of_one_seed_it_is_the_correlation_without_an_interval(self):
        rng = np.random.default_rng(0)
        x, y = rng.random((2, 20))
        found = trend(x, y, np.zeros(20), "pearson")
        assert found.value == pytest.approx(stats.pearsonr(x, y).statistic)
        ranked = trend(x, y, np.zeros(20)).value
        assert ranked == pytest.approx(stats.pearsonr(stats.rankdata(x), y).statistic)
        assert np.isnan(found.low)
        assert found.seeds == 1
        assert found.points == 20

    def test_agrees_with_a_regression_that_gives_each_seed_its_level(self):
        rng = np.random.default_rng(1)
        seed = np.repeat([0, 1, 2], 8)
        x, y = np.tile(LAMS, 3), rng.normal(size=24) + 5 * seed
        rest = [v - np.array([v[seed == s].mean() for s in range(3)])[seed] for v in (x, y)]
        assert trend(x, y, seed, "pearson").value == pytest.approx(np.corrcoef(*rest)[0, 1])

    def test_the_interval_is_students_over_seeds(self):
        rng = np.random.default_rng(2)
        y = np.arange(8) * 0.2 + rng.normal(size=(3, 8))
        found = trend(np.tile(LAMS, 3), y.ravel(), np.repeat([0, 1, 2], 8))
        slopes = [np.polyfit(np.arange(8), one, 1)[0] for one in y]
        expected = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
        scale = found.value / np.mean(slopes)
        assert found.low == pytest.approx(max(-1, expected.low * scale))
        assert found.high == pytest.approx(min(1, expected.high * scale))

    @pytest.mark.slow
    @pytest.mark.parametrize("world", ["independent", "level", "walk", "own slope"])
    @pytest.mark.parametrize("lams", [LAMS, LAMS[[4, 5, 7]]])
    def test_without_a_trend_it_excludes_zero_as_often_as_it_says(self, world, lams):
        rng = np.random.default_rng(3)
        seed = np.repeat([0, 1, 2], len(lams))
        found = [
            trend(np.tile(lams, 3), no_trend(world, rng, lams, 3).ravel(), seed)
            for _ in range(2_000)
        ]
        wrong = np.mean([one.low > 0 or one.high < 0 for one in found])
        assert 0.035 <= wrong <= 0.065  # .05 within three standard errors

    def test_a_seed_of_one_setting_has_no_say(self):
        x, y = np.array([-10, 0, 0.5, 0.0, 0.0]), np.array([0.1, 0.2, 0.4, 9, -9])
        found = trend(x, y, np.array([0, 0, 0, 1, 2]))
        assert found.seeds == 1
        assert found.points == 3
        assert found.value > 0.9

    def test_undefined(self):
        seed = np.repeat([0, 1], 5)
        none = trend(np.ones(10), np.arange(10.0), seed)  # a seed of one setting has no say
        assert none == pytest.approx((np.nan,) * 3 + (0, 0), nan_ok=True)
        # Of three times .1 the mean is not .1: what is left of a constant is no correlation.
        constant = trend(np.arange(6.0), np.full(6, 0.1), np.repeat([0, 1], 3))
        assert constant == pytest.approx((np.nan,) * 3 + (6, 2), nan_ok=True)
        level = trend(np.arange(10.0), 0.0 + seed, seed)  # constant within seeds
        assert level == pytest.approx((np.nan,) * 3 + (10, 2), nan_ok=True)
        missing = trend(np.r_[np.nan, np.arange(9.0)], np.arange(10.0), seed)
        assert missing.points == 9

    def test_by_hand_over_two_seeds_and_cut_at_the_ends(self, monkeypatch):
        seed, x = np.repeat([0, 1], 3), np.tile([1.0, 2.0, 3.0], 2)
        found = trend(x, np.array([0, 1, 2, 0, 1, 2.0]), seed)
        assert found == pytest.approx((1, 1, 1, 6, 2))
        # Slopes 1 and ½ on equal grids: Σ y² = 2 + ½ within seeds, Σ S = 4, so b = √1.6 · slope.
        found = trend(x, np.array([0, 1, 2, 0, 0.5, 1]), seed)
        assert found.value == pytest.approx(0.75 * 1.6**0.5)
        assert (found.low, found.high) == (-1, 1)  # ± 12.7 · ¼ · √1.6
        found = trend(x, np.array([0, 0.5, 1, 0, 0.5, 1]), seed)  # a range and a sum of 1
        assert found == pytest.approx((1, 1, 1, 6, 2))
        one = trend(x[:3], np.array([0, 1, 2.0]), seed[:3])
        assert one == pytest.approx((1, np.nan, np.nan, 3, 1), nan_ok=True)
        monkeypatch.setattr(statistics, "LEVEL", 0.5)
        narrow = trend(x, np.array([0, 1, 2, 0, 0.9, 1.8]), seed)
        scale = (4 / (2 + 2 * 0.81)) ** 0.5
        assert narrow.low == pytest.approx((0.95 - 0.05) * scale)  # t at a half, 1 degree, is 1

    def test_sums_of_a_trend_are_of_64_bits(self):
        rng = np.random.default_rng(3)
        x, y = rng.random((2, 500)).astype(np.float32)
        seed = np.repeat([0, 1], 250)
        for method in ("rank", "pearson"):
            whole = trend(x.astype(np.float64), y.astype(np.float64), seed, method)
            assert trend(x, y, seed, method) == whole

    def test_correlate_is_the_trend_of_each_cell_in_the_frames_order(self, frame):
        frame = pd.concat([frame.assign(lam=frame["lam"].fillna(1), projection="a"), frame])
        frame = frame.iloc[::-1].assign(other=np.nan)
        frame["projection"] = frame["projection"].astype("category").cat.add_categories("entmax")
        found = correlate(frame, ["projection", "other"], "lam", method="pearson")
        assert list(found.columns) == [
            "projection", "other", "quantity", "correlation", "low", "high", "points", "seeds"
        ]  # fmt: skip
        names = [*zip(found["projection"], found["quantity"], strict=True)]
        assert names == [*itertools.product(["sparsegen", "a"], ["tau", "dispersion"])]
        for (projection, quantity), row in zip(names, found.to_dict("records"), strict=True):
            part = frame[frame["projection"].eq(projection) & frame["lam"].notna()]
            runs = part.groupby(["lam", "seed"])[quantity].mean().reset_index()
            columns = (runs[name].to_numpy(float) for name in ("lam", quantity, "seed"))
            expected = trend(*columns, method="pearson")
            assert [row[name] for name in found.columns[3:]] == pytest.approx(list(expected))
        empty = correlate(frame[:0], ["projection"], "lam", ["tau"])
        assert list(empty.columns) == [name for name in found.columns if name != "other"]
        with pytest.raises(ValueError, match="No column 'taus'"):
            correlate(frame, ["projection"], "lam", ["taus"])

    def test_correlate_takes_a_run_as_a_point(self, frame):
        got = correlate(frame, ["projection"], "lam", ["tau"])
        assert len(got) == 1  # softmax has no λ
        assert got["points"].iloc[0] == 4
        assert got["correlation"].iloc[0] < 0
        assert list(correlate(frame, [], "lam", ["tau"])["points"]) == [4]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0.46, 0.54, "same"),
            (0.56, 0.60, "different"),
            (0.30, 0.44, "different"),
            (0.40, 0.60, "undecided"),
            (0.48, 0.58, "undecided"),
            (np.nan, np.nan, "undecided"),
        ],
    )
    def test_compare(self, low, high, expected):
        assert compare(low, high, 0.5, tolerance=0.05) == expected

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0.25, 0.75, "same"),  # the ends of what does not matter belong to it
            (0.25, 0.76, "undecided"),
            (0.24, 0.75, "undecided"),
            (0.75, 1.0, "undecided"),
            (0.76, 1.0, "different"),
            (0.0, 0.25, "undecided"),
            (0.0, 0.24, "different"),
        ],
    )
    def test_compare_at_the_ends_and_mirrored(self, low, high, expected):
        assert compare(low, high, 0.5, tolerance=0.25) == expected
        assert compare(-high, -low, -0.5, tolerance=0.25) == expected

    def test_compare_allows_five_hundredths_unless_told(self):
        told = [compare(low, low + 0.01, 0.5) for low in (0.46, 0.545, 0.56)]
        assert told == ["same", "undecided", "different"]
