"""Published measurements come back as measured, join, and are never silently replaced."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import tiny

from sparseattn import arithmetic
from sparseattn.errors import UserError, validate
from sparseattn.experiments.runs import Adversary, Run
from sparseattn.experiments.specs import AdversarySpec, Spec, adversaries_of, stored_spec
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure
from sparseattn.measures.per_document import IMPORTANCES, INFLUENCES, measure
from sparseattn.models.training import TRAINING_VERSION
from sparseattn.results import frames, parquet, published, publishing


class Made(Run):
    """A run whose measurements are given, for what a real one would be slow to show."""

    @property
    def _measured(self):
        return self.given


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    task = tiny.task()
    sparse = {"projection": "sparsegen", "lam": -1.0, "seed": 1}
    return [store.compute(tiny.spec(**more), task) for more in ({}, sparse)]


@pytest.fixture(scope="module")
def kept(real):
    store = Store(real[0].path.parents[1])
    specs = adversaries_of([tiny.spec()], ["frozen", "uniform"])
    return ensure(specs, store, jobs=1, progress=False)


@pytest.fixture
def made(real, monkeypatch):
    """A run like a real one, but for its spec, its key and the numbers measured."""

    def make(measured=None, run=real[0], version=TRAINING_VERSION, **changes):
        spec = validate(Spec, {**run.spec.model_dump(), **changes})
        key = spec.key(run.manifest["task"]["fingerprint"])
        if version != TRAINING_VERSION:
            key = f"{version}{key[1:]}"
        versions = {**run.manifest["versions"], "training": version}
        record = {"key": key, "spec": spec.model_dump(mode="json"), "versions": versions}
        new = Made(spec, key, run.path, {**run.manifest, **record})
        new.given = run.measurements() if measured is None else measured
        return new

    return make


def traces(documents=40, longest=120, sparse=True, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, longest, documents)
    inside = np.arange(lengths.max()) < lengths[:, None]
    scores = rng.normal(size=inside.shape)
    attention = np.maximum(scores, 0) + 0.01 * (np.arange(inside.shape[1]) == 0)
    found = {"attention": attention if sparse else np.exp(scores)}
    found |= {name: np.exp(rng.normal(size=inside.shape)) for name in (*IMPORTANCES, *INFLUENCES)}
    found = {name: (values * inside).astype(np.float32) for name, values in found.items()}
    found["labels"] = rng.integers(0, 2, documents).astype(np.float32)
    found["logit"] = rng.normal(size=documents).astype(np.float32)
    return found, lengths


class TestRoundTrip:
    def test_as_the_runs_themselves_would_give(self, real, tmp_path):
        publishing.publish(reversed(real), tmp_path)
        expected = frames.measurements(real)
        got = frames.measurements(published.runs(folder=tmp_path))
        known = [name for name in expected if name in got]
        assert set(got) == set(expected)
        pd.testing.assert_frame_equal(got[known], expected[known], rtol=2e-3, check_dtype=False)
        assert got["lam"].dtype == expected["lam"].dtype
        assert got["document"].dtype == expected["document"].dtype

    @pytest.mark.parametrize("sparse", [True, False])
    def test_to_four_digits(self, made, tmp_path, sparse):
        measured = measure(*traces(sparse=sparse))
        publishing.publish([made(measured)], tmp_path)
        got = published.runs(folder=tmp_path)[0].measurements()
        assert list(got) == list(measured)
        assert got.index.equals(measured.index)
        stored = [name for name in got if "effective" not in name]
        np.testing.assert_allclose(got[stored], measured[stored], rtol=2.0**-14 + 1e-6)
        np.testing.assert_allclose(got, measured, rtol=1e-3)

    def test_what_does_not_follow_is_stored(self, made, tmp_path):
        # A document of one word: no dispersion, but one effective token.
        given, lengths = traces(documents=5)
        lengths[2] = 1
        measured = measure(given, lengths)
        assert measured["effective_inputs_gradient"][2] == 1
        publishing.publish([made(measured)], tmp_path)
        got = published.runs(folder=tmp_path)[0].measurements()
        np.testing.assert_allclose(got, measured, rtol=1e-3)

    def test_whole_numbers_and_undefined_values_are_exact(self):
        values = pd.DataFrame({"a": [0.0, 399.0, -1.0, np.nan, 16384.0]})
        pd.testing.assert_frame_equal(parquet.rounded(values), values)

    def test_the_whole_grid_stays_under_15_mb(self, made, tmp_path):
        # 3 tasks × 4 classifiers × 9 projections × 3 seeds; noise is the worst to compress.
        sizes = []
        for sparse in (True, False):
            run = made(measure(*traces(300, 400, sparse)), seed=int(sparse))
            files = parquet.write_result(run.manifest, run.measurements(), tmp_path)
            sizes.append(sum(path.stat().st_size for path in files))
        assert 324 * np.mean(sizes) < 13e6

    def test_no_text(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        words = set(tiny.task().vocabulary[4:])
        task = published.tasks(tmp_path)["planted"]
        assert len(set(task["documents"])) == tiny.SETTINGS["observed"]
        for path in tmp_path.rglob("*.json"):
            strings = set(str(value) for value in json.loads(path.read_text()).values())
            assert not strings & words
            assert str(tmp_path) not in path.read_text()
            assert '"/' not in path.read_text()  # a path on this machine

    def test_a_published_run_has_no_weights(self, real, tmp_path):
        publishing.publish(real[:1], tmp_path)
        (run,) = published.runs(folder=tmp_path)
        assert run.label == real[0].label
        assert run.manifest["accuracy"] == real[0].manifest["accuracy"]
        for access in (run.classifier, lambda: run.traces, lambda: run.curve):
            with pytest.raises(UserError, match="only the measurements are published"):
                access()


class TestAdding:
    def test_a_task_file_without_the_vocabulary_s_size_is_completed(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        (whole,) = published.tasks(tmp_path).values()
        assert whole["vocabulary"] == len(tiny.task().vocabulary)
        old = {name: value for name, value in whole.items() if name != "vocabulary"}
        file = parquet.write_json(tmp_path / "planted" / parquet.TASK, old)
        assert publishing.publish(real[:1], tmp_path) == [file]
        assert published.tasks(tmp_path)["planted"] == whole

    def test_batches_join_and_publishing_again_changes_nothing(self, real, tmp_path):
        assert publishing.publish(real[:1], tmp_path)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
        written = publishing.publish(real, tmp_path)
        assert sorted(path.suffix for path in written) == [".json", ".parquet"]
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())
        assert publishing.publish(real, tmp_path) == []
        assert [run.key for run in published.runs(folder=tmp_path)] == [run.key for run in real]
        assert frames.measurements(published.runs(["sst"], tmp_path)).empty

    def test_order_of_batches_does_not_matter(self, real, tmp_path):
        one, other = tmp_path / "one", tmp_path / "other"
        publishing.publish(real, one)
        for run in reversed(real):
            publishing.publish([run], other)
        files = {path.relative_to(one) for path in one.rglob("*.*")}
        assert files == {path.relative_to(other) for path in other.rglob("*.*")}
        assert all((one / path).read_bytes() == (other / path).read_bytes() for path in files)

    def test_other_numbers_are_flagged(self, real, made, tmp_path):
        publishing.publish(real, tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
        measured = real[0].measurements()
        near = made(measured.assign(logit=measured["logit"] * 1.001))
        assert publishing.publish([near], tmp_path) == []
        far = made(measured.assign(logit=measured["logit"] * 1.1))
        with pytest.raises(UserError, match=r"other numbers: logit by 9\.1%"):
            publishing.publish([far, made(seed=7)], tmp_path)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
        worse = made()
        worse.manifest["accuracy"] = real[0].manifest["accuracy"] + 0.1
        with pytest.raises(UserError, match="other numbers: accuracy"):
            publishing.publish([worse], tmp_path)

    def test_a_value_lost_is_a_difference(self, real, made, tmp_path):
        publishing.publish(real, tmp_path)
        measured = real[0].measurements()
        measured.loc[0, "tau_inputs_gradient"] = np.nan
        compared = published.against_published([made(measured)], tmp_path).set_index("quantity")
        assert not compared.loc["tau_inputs_gradient", "agrees"]
        assert compared.drop(index="tau_inputs_gradient")["agrees"].all()

    def test_a_new_quantity_is_added(self, real, made, tmp_path):
        publishing.publish(real, tmp_path)
        more = made(real[0].measurements().assign(another=0.5))
        assert len(publishing.publish([more], tmp_path)) == 2
        assert "another" in frames.measurements(published.runs(folder=tmp_path))

    def test_other_settings_at_the_same_place_are_refused(self, made, tmp_path):
        publishing.publish([made()], tmp_path)
        with pytest.raises(UserError, match=r"they differ in epochs \(2 and 3\)"):
            publishing.publish([made(epochs=3)], tmp_path)
        with pytest.raises(UserError, match="differ in batch_size"):
            publishing.publish([made(seed=9), made(seed=9, batch_size=8)], tmp_path)
        assert len(published.runs(folder=tmp_path)) == 1

    def test_newer_versions_replace(self, made, tmp_path, caplog):
        publishing.publish([made(), made(seed=1)], tmp_path)
        newer = made(version=TRAINING_VERSION + 1)
        compared = tmp_path / "planted" / "jacobian"
        compared.mkdir()
        for ending in ("json", "parquet"):
            (compared / f"{made().key}.{ending}").write_text("")
        with caplog.at_level(logging.WARNING, "sparseattn"):
            publishing.publish([newer], tmp_path)
        assert f"replaced by {newer.key}" in caplog.text
        assert f"'sparseattn jacobian {newer.key}'" in caplog.text
        assert not list(compared.iterdir())
        kept = {run.key for run in published.runs(folder=tmp_path)}
        assert kept == {newer.key, made(seed=1).key}
        assert len(list(tmp_path.rglob("*.parquet"))) == 2
        states = published.ledger(folder=tmp_path).set_index("key")["state"]
        assert states[newer.key] == "outdated"  # than the versions of the code under test
        assert states[made(seed=1).key] == "current"

    def test_what_a_kill_left_of_a_replaced_run_goes(self, made, tmp_path):
        old = made()
        publishing.publish([old], tmp_path)
        files = {file: file.read_bytes() for file in (tmp_path / "planted").glob(f"{old.key}.*")}
        newer = made(version=TRAINING_VERSION + 1)
        publishing.publish([newer], tmp_path)
        (tmp_path / "planted" / "jacobian").mkdir()
        for file, content in files.items():
            for place in (file, file.parent / "jacobian" / file.name):
                place.write_bytes(content)
        publishing.publish([made(seed=1)], tmp_path)
        assert {path.stem for path in (tmp_path / "planted").rglob("*.parquet")} == {
            newer.key,
            made(seed=1).key,
        }
        assert not list((tmp_path / "planted").rglob(f"{old.key}.*"))

    def test_other_data_are_refused(self, made, tmp_path):
        publishing.publish([made()], tmp_path)
        other = made(seed=3)
        other.manifest = {**other.manifest, "task": {"name": "planted", "fingerprint": "0" * 64}}
        with pytest.raises(UserError, match="other data"):
            publishing.publish([other], tmp_path)
        with pytest.raises(UserError, match="data at hand"):
            publishing.publish([other], tmp_path / "fresh")

    def test_own_files_are_refused(self, made, tmp_path):
        (tmp_path / "words.vec").write_text("word 1 2")
        with pytest.raises(UserError, match="file of yours"):
            publishing.publish([made(vectors=str(tmp_path / "words.vec"))], tmp_path / "results")
        assert not (tmp_path / "results").exists()


class TestAdversaries:
    @pytest.fixture
    def results(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        return tmp_path

    def test_as_the_adversaries_themselves_would_give(self, kept, results):
        written = publishing.publish(reversed(kept), results)
        assert len(written) == 4
        assert {path.parent.name for path in written} == {"adversaries"}
        expected = frames.measurements(kept)
        got = frames.measurements(published.adversaries(folder=results))
        assert set(got) == set(expected)
        pd.testing.assert_frame_equal(got[list(expected)], expected, rtol=2e-3, check_dtype=False)
        assert published.adversaries(["sst"], results) == []
        assert len(published.runs(folder=results)) == 2  # the runs are left alone
        for one in published.adversaries(folder=results):
            with pytest.raises(UserError, match="only the measurements are published"):
                assert one.traces

    def test_nothing_published_has_the_columns(self, tmp_path, kept):
        empty = frames.measurements(published.adversaries(folder=tmp_path))
        assert empty.empty
        assert set(frames.measurements(kept)) <= set(empty)

    def test_publishing_again_changes_nothing(self, kept, results):
        publishing.publish(kept[:1], results)
        before = {path: path.stat().st_mtime_ns for path in results.rglob("*.*")}
        assert len(publishing.publish(kept, results)) == 2
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())
        assert publishing.publish(kept, results) == []

    def other(self, one, measured=None, **changes):
        spec = stored_spec(AdversarySpec.KIND, {**one.spec.model_dump(mode="json"), **changes})
        key = spec.key(one.manifest["task"]["fingerprint"])
        record = {"key": key, "spec": spec.model_dump(mode="json")}
        new = Adversary(spec, key, one.path, {**one.manifest, **record})
        new._measured = one.measurements() if measured is None else measured
        return new

    def test_other_numbers_are_flagged(self, kept, results):
        publishing.publish(kept, results)
        measured = kept[0].measurements()
        near = self.other(kept[0], measured.assign(base_logit=measured["base_logit"] * 1.001))
        assert publishing.publish([near], results) == []
        far = self.other(kept[0], measured.assign(base_logit=measured["base_logit"] * 1.1))
        with pytest.raises(UserError, match=r"other numbers: base_logit by 9\.1%"):
            publishing.publish([far], results)

    def test_other_settings_at_the_same_place_are_refused(self, kept, results):
        publishing.publish(kept, results)
        with pytest.raises(UserError, match=r"differ in adversary's epochs \(4 and 9\)"):
            publishing.publish([self.other(kept[0], epochs=9)], results)
        assert len(publishing.publish([self.other(kept[0], pressure=9.0)], results))

    def test_the_task_must_be_published_from_the_same_data(self, kept, results, tmp_path_factory):
        with pytest.raises(UserError, match="Publish its base run first"):
            publishing.publish(kept, tmp_path_factory.mktemp("empty"))

    def test_named_tasks_of_the_store(self, kept, real):
        store = Store(real[0].path.parents[1])
        found = publishing.publishable(store, ["planted"], kind="adversaries")
        assert {one.key for one in found} == {one.key for one in kept}
        with pytest.raises(UserError, match="sparseattn adversary"):
            publishing.publishable(store, kind="adversaries")
        with pytest.raises(UserError, match="Did you mean 'imdb'"):
            publishing.publishable(store, ["imbd"], kind="adversaries")

    def test_a_damaged_file_is_named(self, kept, results):
        publishing.publish(kept, results)
        path = next(results.rglob(f"{kept[0].key}.parquet"))
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UserError, match=rf"{path.name}.*git checkout"):
            frames.measurements(published.adversaries(folder=results))


class TestPublishable:
    def test_named_runs_of_the_store(self, real):
        store = Store(real[0].path.parents[1])
        found = publishing.publishable(store, keys=[real[1].key[:6]])
        assert [run.key for run in found] == [real[1].key]
        assert found[0].measurements().equals(real[1].measurements())
        both = publishing.publishable(store, tasks=["planted"])
        assert {run.key for run in both} == {run.key for run in real}

    def test_planted_runs_only_when_named(self, real):
        store = Store(real[0].path.parents[1])
        with pytest.raises(UserError, match="No current runs of sst, newsgroups, imdb"):
            publishing.publishable(store)

    def test_what_is_not_there(self, real, tmp_path):
        store = Store(real[0].path.parents[1])
        with pytest.raises(UserError, match="begins with 'zz'"):
            publishing.publishable(store, keys=["zz"])
        with pytest.raises(UserError, match="Did you mean 'imdb'"):
            publishing.publishable(store, tasks=["imbd"])
        with pytest.raises(UserError, match="sweep"):
            publishing.publishable(Store(tmp_path), tasks=["planted"])


class TestReading:
    def test_nothing_published(self, tmp_path):
        for folder in (tmp_path, tmp_path / "missing"):
            frame = frames.measurements(published.runs(folder=folder))
            assert frame.empty
            assert {"key", "seed", "tau_inputs_gradient", "influence_top1"} <= set(frame)
            assert frame["lam"].dtype == frame["tau_inputs_loo"].dtype == "float64"
            assert published.ledger(folder=folder).empty
            assert published.tasks(folder) == {}
            assert published.runs(folder=folder) == []

    def test_empty_has_the_columns_of_the_full(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        full = frames.measurements(published.runs(folder=tmp_path))
        empty = frames.measurements(published.runs(["imdb"], tmp_path))
        evidence = {name for name in full if "evidence" in name}  # known of planted documents only
        assert set(full) - evidence <= set(empty)

    def test_ledger(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        ledger = published.ledger(folder=tmp_path).set_index("key")
        assert list(ledger.loc[real[1].key, ["lam", "seed"]]) == [-1, 1]
        for run in real:
            assert ledger.loc[run.key, "accuracy"] == run.manifest["accuracy"]
            assert ledger.loc[run.key, "classifier"] == "BiLSTM, additive"
            assert ledger.loc[run.key, "train"] == run.manifest["seconds"]["train"]

    @pytest.mark.parametrize("ending", ["parquet", "json"])
    def test_a_damaged_file_is_named(self, real, tmp_path, ending):
        publishing.publish(real, tmp_path)
        path = next(tmp_path.rglob(f"{real[0].key}.{ending}"))
        content = path.read_bytes()
        for damaged in (content[:-9], content[: len(content) // 2], b"", b"{}"):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=rf"{path.name}.*git checkout"):
                frames.measurements(published.runs(folder=tmp_path))
        if ending == "parquet":
            path.unlink()
            with pytest.raises(UserError, match=rf"{path.name}.*git checkout"):
                frames.measurements(published.runs(folder=tmp_path))

    def test_two_runs_of_one_place_are_refused(self, made, tmp_path):
        # As when two machines published different settings, and git joined their files.
        for run in (made(), made(epochs=3)):
            parquet.write_result(run.manifest, run.measurements(), tmp_path / "planted")
        with pytest.raises(UserError, match="both published"):
            frames.measurements(published.runs(folder=tmp_path))


class TestRecompute:
    def test_the_same_numbers(self, real, tmp_path):
        publishing.publish(real, tmp_path / "results")
        compared = publishing.recompute(real[1].key[:8], tmp_path / "new", tmp_path / "results")
        assert len(compared) > 50
        assert compared["agrees"].all()
        assert compared["difference"].max() < 1e-3

    def test_a_key_must_name_one(self, real, tmp_path):
        publishing.publish(real, tmp_path)
        for key in ("", "zz"):
            with pytest.raises(UserError, match="expected one"):
                publishing.recompute(key, tmp_path / "new", tmp_path)

    def test_another_arithmetic_says_what_to_expect(self, real, tmp_path, monkeypatch):
        publishing.publish(real, tmp_path / "results")
        monkeypatch.setattr(arithmetic, "_reason", "aarch64")
        accuracy = real[1].measurements()["correct"].mean()
        with pytest.raises(UserError, match="made on 'cpu', and this is 'cpu, aarch64'") as told:
            publishing.recompute(real[1].key, tmp_path / "new", tmp_path / "results")
        assert f"{accuracy:.3f}" in str(told.value) or "was not measured" in str(told.value)

    def test_data_or_stages_have_changed(self, made, tmp_path):
        newer = made(version=TRAINING_VERSION + 1)
        parquet.write_result(newer.manifest, newer.measurements(), tmp_path / "planted")
        with pytest.raises(UserError, match="can no longer be made"):
            publishing.recompute(newer.key, tmp_path / "new", tmp_path)
