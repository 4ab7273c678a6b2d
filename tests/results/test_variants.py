import json

import numpy as np
import pandas as pd
import pytest
import tiny
from scipy import stats

from sparseattn.errors import UserError
from sparseattn.experiments.runs import Run
from sparseattn.experiments.store import Store
from sparseattn.models.training import LEARNING_RATES
from sparseattn.results import paper, published, variants
from sparseattn.results.frames import measurements
from sparseattn.results.variants import MEANS, OURS, QUANTITIES, SCORES
from sparseattn.verdicts import departures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store")).compute(tiny.spec(), tiny.task())


@pytest.fixture
def file(tmp_path):
    return tmp_path / variants.FILE


def changed(run, **manifest):
    return Run(run.spec, manifest.get("key", run.key), run.path, {**run.manifest, **manifest})


def summaries(differences, ours=0.8):
    """Two variants of one classifier over as many seeds as there are differences."""
    rows = []
    for seed, difference in enumerate(differences):
        for name, value in ((OURS, ours + 0.1 * seed), ("other", ours + 0.1 * seed + difference)):
            row = {"variant": name, "task": "sst", "encoder": "bilstm", "seed": seed}
            rows.append(row | dict.fromkeys(QUANTITIES, value))
    return pd.DataFrame(rows)


class TestKept:
    def test_what_was_measured_comes_back(self, run, file):
        assert variants.record([(OURS, run)], file) == 1
        (row,) = variants.summaries(file).to_dict("records")
        means = run.measurements().mean()
        for name in MEANS:
            assert row[name] == pytest.approx(means[name], abs=1e-6)
        assert row["accuracy"] == pytest.approx(run.manifest["accuracy"])
        assert row["dev_accuracy"] == pytest.approx(run.manifest["dev"]["accuracy"])
        assert row["trained"] == len(run.curve)
        curve = variants.learning_curves(file)
        assert list(curve["dev_auc"]) == pytest.approx(list(run.curve["dev_auc"]), abs=1e-5)

    def test_twice_changes_nothing(self, run, file):
        variants.record([(OURS, run)], file)
        before = file.read_bytes()
        assert variants.record([(OURS, run)], file) == 0
        assert file.read_bytes() == before

    def test_batches_join_in_any_order(self, run, file, tmp_path):
        other = tmp_path / "other.json"
        both = [(OURS, run), ("random vectors", changed(run, key="f" * 16))]
        variants.record(both, file)
        for one in reversed(both):
            variants.record([one], other)
        assert other.read_bytes() == file.read_bytes()

    def test_other_numbers_are_refused_and_nothing_is_written(self, run, file):
        variants.record([(OURS, run)], file)
        before = file.read_bytes()
        worse = changed(run, accuracy=run.manifest["accuracy"] / 2)
        with pytest.raises(UserError, match="another accuracy"):
            variants.record([("random vectors", run), (OURS, worse)], file)
        with pytest.raises(UserError, match=f"other settings or data, as run {run.key}"):
            variants.record([(OURS, changed(run, key="f" * 16))], file)
        assert file.read_bytes() == before

    def test_newer_versions_replace(self, run, file):
        variants.record([(OURS, run)], file)
        newer = changed(run, key="f" * 16, versions={**run.manifest["versions"], "training": 99})
        assert variants.record([(OURS, newer)], file) == 1
        assert list(variants.summaries(file)["key"]) == ["f" * 16]

    def test_nothing_kept_has_columns(self, file):
        assert variants.summaries(file).empty
        assert set(QUANTITIES) <= set(variants.summaries(file))
        assert variants.learning_curves(file).empty
        assert variants.effects(variants.summaries(file)).empty


class TestEffects:
    def test_paired_by_seed(self):
        differences = np.array([0.1, 0.2, 0.4])
        rows = variants.effects(summaries(differences))
        assert set(rows["quantity"]) == set(QUANTITIES)
        expected = stats.ttest_1samp(differences, 0).confidence_interval()
        for row in rows.to_dict("records"):
            assert row["difference"] == pytest.approx(differences.mean())
            assert (row["low"], row["high"]) == pytest.approx(tuple(expected))
            assert row["variant_value"] - row["ours"] == pytest.approx(row["difference"])
            assert row["seeds"] == 3

    def test_levels_are_means_over_seeds(self):
        frame = summaries([0.1, 0.2, 0.4])
        rows = variants.levels(frame).set_index(["variant", "quantity"])
        for (variant, quantity), row in rows.iterrows():
            values = frame.loc[frame["variant"] == variant, quantity]
            expected = stats.ttest_1samp(values, 0).confidence_interval()
            assert row["mean"] == pytest.approx(values.mean())
            assert (row["low"], row["high"]) == pytest.approx(tuple(expected), nan_ok=True)
            assert row["seeds"] == 3
        effects = variants.effects(frame).set_index(["variant", "quantity"])
        for (variant, quantity), row in effects.iterrows():
            apart = rows.loc[(variant, quantity), "mean"] - rows.loc[(OURS, quantity), "mean"]
            assert row["difference"] == pytest.approx(apart)

    def test_a_seed_of_one_side_only_is_left_out(self):
        frame = summaries([0.1, 0.2, 0.4])
        alone = frame[(frame["variant"] == OURS) & (frame["seed"] == 2)].index
        assert set(variants.effects(frame.drop(alone))["seeds"]) == {2}

    def test_one_seed_has_no_interval(self):
        rows = variants.effects(summaries([0.1]))
        assert rows["difference"].to_numpy() == pytest.approx(0.1)
        assert rows[["low", "high"]].isna().all(axis=None)


class TestSpecs:
    def test_a_variant_differs_in_what_it_names_alone(self):
        specs = variants.specs()
        ours = {(spec.encoder, spec.seed): spec for name, spec in specs if name == OURS}
        for name, spec in specs:
            named = variants.variants()[name][spec.encoder]
            mine, theirs = ours[spec.encoder, spec.seed].model_dump(), spec.model_dump()
            assert {field for field in mine if mine[field] != theirs[field]} == set(named)

    def test_the_papers_rates_are_the_papers(self):
        stated = paper.table4().query("quantity == 'learning_rate'").set_index("encoder")["value"]
        changes = variants.variants()["the paper's rates"]
        for encoder, settings in changes.items():
            assert settings["learning_rate"] == stated[encoder] != LEARNING_RATES[encoder]


class TestCommitted:
    def test_runs_as_here_are_the_published_ones(self):
        """Where a run is published too, both files say the same of it."""
        ledger = published.ledger().set_index("key")
        kept = variants.summaries().query("variant == @OURS and key in @ledger.index")
        frame = measurements(published.runs(["sst"])).groupby("key")[list(MEANS)].mean()
        for row in kept.to_dict("records"):
            for name in SCORES:
                assert row[name] == pytest.approx(ledger.loc[row["key"], name], abs=1e-5)
            for name in MEANS:
                assert row[name] == pytest.approx(frame.loc[row["key"], name], rel=1e-3)

    def test_each_variant_has_the_seeds_of_ours(self):
        kept = variants.summaries()
        seeds = kept.groupby(["task", "encoder", "variant"])["seed"].agg(set)
        for (task, encoder, _), found in seeds.items():
            assert found == seeds[task, encoder, OURS]

    def test_no_text(self):
        file = variants._default(None)
        for entry in json.loads(file.read_text())["runs"] if file.exists() else ():
            assert set(entry["values"]) == set(QUANTITIES)


class TestDeviations:
    def test_each_variant_measures_one(self):
        named = {name for one in departures.departures() for name in one.variants}
        assert named == set(variants.variants()) - {OURS}

    def test_each_is_said_in_full(self):
        for one in departures.departures():
            assert all((one.what, one.paper, one.here, one.why))
            assert bool(one.effect) != bool(one.variants)

    def test_settings_are_those_in_force(self):
        rates = next(one for one in departures.departures() if one.what == "Learning rate")
        for encoder in paper.ALIGNMENT:
            assert f"{LEARNING_RATES[encoder]:g}" in rates.here
