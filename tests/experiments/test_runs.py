import errno
import json
import logging
import multiprocessing
import os
import shutil
import signal
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from pydantic import ValidationError

from sparseattn import files
from sparseattn.errors import UserError
from sparseattn.experiments import specs
from sparseattn.experiments import store as storage
from sparseattn.experiments.making import reproducible
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Store
from sparseattn.measures import per_document
from sparseattn.models.training import evaluate

PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def task():
    return tiny.task()


@pytest.fixture(scope="module")
def made(tmp_path_factory, task):
    """A store with one run; copied by those who change it."""
    store = Store(tmp_path_factory.mktemp("store"))
    store.compute(tiny.spec(), task)
    return store


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "store")
    return Store(tmp_path / "store")


def sums(run):
    """What must be equal to the last bit: not the manifest and curve, which hold times."""
    lines = (run.path / files.SUMS).read_text().splitlines()
    return [line for line in lines if "safetensors" in line]


# --- spec and identity ---


def test_canonical_form_does_not_depend_on_order_or_on_how_numbers_are_written():
    one = tiny.spec(projection="sparsegen", lam=-10, task_options={"cues": 1, "seed": 2})
    other = Spec.model_validate_json(
        json.dumps(dict(reversed(one.model_dump().items()))).replace("-10.0", "-1e1")
    )
    other = other.model_copy(update={"task_options": {"seed": 2, "cues": 1}})
    assert one.canonical() == other.canonical()
    assert one.key("f") == other.key("f")
    assert hash(one) == hash(other)


def test_defaults_written_out_are_the_same_run():
    assert tiny.spec().key("f") == tiny.spec(learning_rate=1e-3, seed=0, lam=None).key("f")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"encoder": "none"}, {"alignment": "dot"}, {"projection": "sparsemax"},
        {"projection": "sparsegen", "lam": 0.3}, {"projection": "entmax"}, {"epochs": 3},
        {"batch_size": 16}, {"learning_rate": 1e-4}, {"weight_decay": 0.0}, {"patience": 1},
        {"vectors": "task"}, {"observed": 7}, {"hidden_size": 16}, {"embedding_size": 16},
    ],
)  # fmt: skip
def test_whatever_may_change_numbers_changes_the_key(change):
    changed = tiny.spec(**change)
    assert changed.key("f") != tiny.spec().key("f")
    same_weights = changed.training_identity("f") == tiny.spec().training_identity("f")
    assert same_weights == ("observed" in change)


def test_another_device_asks_the_same_question():
    assert tiny.spec(device="auto").key("f") == tiny.spec(device="cpu").key("f")


def test_task_counts_by_content():
    assert tiny.spec().key("f") != tiny.spec().key("g")
    assert tiny.spec(task="a.csv", task_options={}).key("f") == (
        tiny.spec(task="elsewhere/b.csv", task_options={}).key("f")
    )


def test_vectors_count_by_content(tmp_path):
    keys = []
    for name, content in (("a.vec", "x 1 2"), ("b.vec", "x 1 2"), ("c.vec", "x 1 3")):
        (tmp_path / name).write_text(content)
        keys.append(tiny.spec(vectors=str(tmp_path / name)).key("f"))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "version",
    ["TRAINING_VERSION", "IMPORTANCE_VERSION", "INFLUENCE_VERSION", "OBSERVATION_VERSION"],
)
def test_a_stage_s_version_changes_the_key(monkeypatch, version):
    before = tiny.spec().key("f")
    monkeypatch.setattr(specs, version, 99)
    assert tiny.spec().key("f") != before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alhpa": 1}, "Unknown parameter 'alhpa'. Did you mean 'alpha'?"),
        ({"encoder": "bilstn"}, "Did you mean 'bilstm'?"),
        ({"projection": "sparsegen", "lam": 1.0}, "less than 1"),
        ({"projection": "entmax", "alpha": 0.5}, "at least 1"),
        ({"projection": "softmax", "lam": 0.5}, "'lam' belongs to sparsegen"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": "0"}, "integer"),
        ({"observed": 0}, "greater than or equal to 1"),
        ({"task": "plantde", "task_options": {}}, "Did you mean 'planted'?"),
        ({"task_options": {"lenght": [5, 6]}}, "Did you mean 'length'?"),
        ({"task_options": {"seed": float("nan")}}, "plain numbers"),
        ({"vectors": "imbd"}, "Did you mean 'imdb'?"),
    ],
)
def test_a_wrong_spec_is_explained(given, said):
    with pytest.raises(UserError, match=".*".join(said.split("{}"))) as caught:
        tiny.spec(**given)
    assert said in str(caught.value)


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValidationError):
        tiny.spec().seed = 3


# --- a run ---


def test_a_run_holds_what_was_observed(made, task):
    run = made.find(tiny.spec(), task)
    documents = run.documents(task)
    assert len(documents) == len(run.traces["lengths"]) == 6
    for row, n in enumerate(run.traces["lengths"]):
        assert n == len(documents.ids[row]) - 2
        for name, values in run.traces.items():
            if values.ndim == 2:
                assert not values[row, n:].any(), name
        assert run.traces["attention"][row].sum() == pytest.approx(1, abs=1e-6)
        assert (run.traces["evidence"][row, :n] == documents.evidence[row].numpy()).all()
    assert {*per_document.IMPORTANCES, *per_document.INFLUENCES} < set(run.traces)
    assert next(iter(run.curve)) == "epoch"
    assert len(run.curve) == 2


def test_a_run_is_found_by_its_key(made, task):
    run = made.find(tiny.spec(), task)
    assert made.get(run.key).manifest == run.manifest
    assert made.get("0" * 16) is None


def test_measurements_are_those_of_the_traces(made, task):
    run = made.find(tiny.spec(), task)
    table = run.measurements()
    assert len(table) == 6
    table["tau_inputs_gradient"] = 0  # the caller's own
    expected = per_document.measure(run.traces, run.traces["lengths"])
    assert run.measurements().equals(expected)


def test_classifier_comes_back_to_the_last_bit(made, task):
    run = made.find(tiny.spec(), task)
    state = torch.random.get_rng_state()
    classifier = run.classifier()
    assert (torch.random.get_rng_state() == state).all()
    with reproducible():
        scores = evaluate(classifier, task.test)
    assert (scores["accuracy"], scores["auc"]) == (run.manifest["accuracy"], run.manifest["auc"])


def test_manifest_says_where_numbers_come_from(made, task):
    run = made.find(tiny.spec(), task)
    manifest = run.manifest
    assert Spec.model_validate(manifest["spec"]) == run.spec == tiny.spec()
    assert manifest["key"] == run.key == manifest["identity"][:16] == run.path.name
    assert manifest["task"]["fingerprint"] == task.fingerprint
    assert [row["documents"] for row in manifest["task"]["splits"]] == [48, 16, 16]
    assert set(manifest["seconds"]) == {"train", "evaluate", "importance", "influence"}
    assert manifest["cpu_seconds"] > 0
    assert manifest["versions"] == tiny.spec().versions()
    version = torch.__version__.partition("+")[0]  # after it, some builds name their kind
    assert manifest["packages"]["torch"].partition("+")[0] == version
    assert len(manifest["code"]["fingerprint"]) == 64
    assert manifest["threads"] == 1


# --- the same bits ---


def test_same_spec_same_bits_whatever_the_caller_set(made, task, tmp_path):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(7)
        torch.rand(3)
        before = torch.random.get_rng_state()
        again = Store(tmp_path).compute(tiny.spec(), task)
        assert torch.get_num_threads() == 2
        assert (torch.random.get_rng_state() == before).all()
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)
    assert sums(again) == sums(made.find(tiny.spec(), task))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_is_another_device_and_computes_the_same_measures(made, task):
    there = made.compute(tiny.spec(device="cuda"), task)
    here = made.find(tiny.spec(), task)
    assert there.key != here.key
    assert there.manifest["device"] == "cuda"
    assert set(there.traces) == set(here.traces)
    scores = evaluate(there.classifier(), task.test)  # on the CPU, from the weights trained there
    assert scores["auc"] == pytest.approx(there.manifest["auc"], abs=1e-3)


def test_denormals_are_flushed_inside_only():
    def product():
        return float(torch.tensor(1e-38) * 1e-3)

    with reproducible():
        assert product() == 0
    assert product() > 0


def test_known_weights_are_not_trained_again_and_give_the_same_bits(
    store, task, tmp_path, monkeypatch
):
    fresh = Store(tmp_path / "fresh").compute(tiny.spec(observed=9), task)
    monkeypatch.setattr("sparseattn.experiments.making.fit", None)
    taken = store.compute(tiny.spec(observed=9), task)
    assert taken.manifest["trained_in"] == tiny.spec().key(task.fingerprint) != taken.key
    assert sums(taken) == sums(fresh)
    assert taken.manifest["best_epoch"] == fresh.manifest["best_epoch"]


# --- the store ---


def test_found_without_computing(store, task, monkeypatch):
    monkeypatch.setattr(storage, "make_run", None)
    assert store.compute(tiny.spec(), task).key == store.find(tiny.spec(), task).key
    assert store.find(tiny.spec(seed=1), task) is None


def test_nothing_is_written_by_looking(tmp_path, task):
    store = Store(tmp_path / "none")
    assert store.find(tiny.spec(), task) is None
    assert store.runs() == store.damaged() == []
    assert store.verify().empty
    assert not store.root.exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[5 if path.suffix == "" else len(content) // 2] ^= 1  # of the sums, the first
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", [files.MANIFEST, files.CURVE, files.TRACES, files.SUMS])
def test_a_damaged_run_is_reported_set_aside_and_computed_anew(
    store, made, task, caplog, harm, name
):
    run = store.find(tiny.spec(), task)
    harm(run.path / name)
    assert store.find(tiny.spec(), task) is None
    assert run.key in caplog.text
    assert "damaged" in caplog.text
    assert not run.path.exists()
    (aside,) = (store.root / "damaged").iterdir()
    assert aside.name.startswith(run.key)
    assert store.runs() == []
    assert store.damaged() == [run.key]
    assert sums(store.compute(tiny.spec(), task)) == sums(made.find(tiny.spec(), task))


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
def test_damaged_weights_are_never_read(store, task, harm):
    run = store.find(tiny.spec(), task)
    harm(run.path / files.WEIGHTS)
    with pytest.raises(UserError, match=f"{run.key} is damaged.*Run the same command"):
        run.classifier()
    assert store.find(tiny.spec(), task) is None


def test_verify_finds_damage_and_clears_what_a_kill_left(store, task):
    whole = store.compute(tiny.spec(seed=1), task)
    flip(store.find(tiny.spec(), task).path / files.WEIGHTS)
    left = store.root / "partial" / f"{whole.key}.1.2"
    left.mkdir(parents=True)
    with files.locked(store.root, tiny.spec(seed=2).key(task.fingerprint)):
        problems = store.verify()
    assert list(problems["key"]) == [tiny.spec().key(task.fingerprint)]
    assert not left.exists()
    assert store.verify().empty
    assert [run.state for run in store.runs()] == ["current"]
    assert store.damaged() == [tiny.spec().key(task.fingerprint)]


def test_what_other_versions_made_is_outdated(store, task, monkeypatch):
    assert [run.state for run in store.runs()] == ["current"]
    monkeypatch.setattr(specs, "INFLUENCE_VERSION", 99)
    assert store.find(tiny.spec(), task) is None
    assert [run.state for run in store.runs()] == ["outdated"]


def test_store_below_a_file_cannot_be_written(tmp_path, task, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(storage, "make_run", None)  # it shows before training
    with pytest.raises(UserError, match="SPARSEATTN_STORE") as caught:
        Store(tmp_path / "file" / "store").compute(tiny.spec(), task)
    assert str(tmp_path / "file" / "store") in str(caught.value)
    assert "Not a directory" in str(caught.value)


def test_a_read_only_store_still_gives_what_it_holds(store, task, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(storage, "make_run", None)
    assert store.compute(tiny.spec(), task).traces
    with pytest.raises(UserError, match="Read-only file system"):
        store.compute(tiny.spec(seed=1), task)


def test_a_disk_without_room_shows_before_training(store, task, monkeypatch):
    usage = shutil.disk_usage(store.root)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(storage, "make_run", None)
    with pytest.raises(UserError, match=r"No space left.*MB are needed.*SPARSEATTN_STORE"):
        store.compute(tiny.spec(seed=1), task)
    assert not list((store.root / "partial").iterdir())


def test_a_disk_that_fills_up_meanwhile_costs_only_the_run_in_flight(store, task, monkeypatch):
    def full(folder, files, manifest):
        if manifest:  # not when the room is probed
            (folder / "traces.safetensors").touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(UserError, match="No space left"):
        store.compute(tiny.spec(seed=1), task)
    assert not list((store.root / "partial").iterdir())
    assert store.find(tiny.spec(seed=1), task) is None
    assert store.verify().empty
    assert store.find(tiny.spec(), task)


# --- several processes ---


def test_a_killed_process_loses_only_its_run(store, task, tmp_path):
    shutil.rmtree(store.root / "runs")
    sign = tmp_path / "sign"
    process = PROCESSES.Process(
        target=tiny.hang_after_an_epoch, args=(str(store.root), str(sign)), daemon=True
    )
    process.start()
    waited = time.monotonic()
    while not sign.exists():
        assert time.monotonic() - waited < 60
        time.sleep(0.02)
    assert list((store.root / "partial").iterdir())
    assert store.verify().empty
    assert list((store.root / "partial").iterdir())  # its process is alive
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert store.find(tiny.spec(), task) is None
    assert list((store.root / "partial").iterdir())
    assert store.compute(tiny.spec(), task)
    assert not list((store.root / "partial").iterdir())


def test_two_processes_compute_a_run_once(tmp_path, task, made):
    log = tmp_path / "log"
    both = [
        PROCESSES.Process(target=tiny.compute_and_log, args=(str(tmp_path / "store"), str(log)))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert log.read_text().split() == ["1", "2"]
    run = Store(tmp_path / "store").find(tiny.spec(), task)
    assert sums(run) == sums(made.find(tiny.spec(), task))


def test_without_working_locks_the_loser_of_a_race_reads_the_winner_s(
    tmp_path, task, monkeypatch, caplog
):
    monkeypatch.setattr(files, "locked", lambda *_: nullcontext())
    monkeypatch.setattr(Store, "_partial", unshared(Store._partial))
    store, winners = Store(tmp_path), []

    def overtake(*_):
        if not winners:
            winners.append(None)
            winners[0] = Store(tmp_path).compute(tiny.spec(), task)

    with caplog.at_level(logging.INFO):
        lost = store.compute(tiny.spec(), task, overtake)
    assert lost.manifest["date"] == winners[0].manifest["date"]
    assert not list((tmp_path / "partial").iterdir())
    assert len(list((tmp_path / "runs").iterdir())) == 1


def unshared(partial):
    """Keep the winner from clearing the loser's folder away."""

    @contextmanager
    def wrapped(self, key, needed):
        before = self.root / "partial"
        aside = self.root / "aside"
        if before.exists():
            before.rename(aside)
        with partial(self, key, needed) as made:
            if aside.exists():
                for folder in aside.iterdir():
                    folder.rename(before / folder.name)
                aside.rmdir()
            yield made

    return wrapped


def test_traces_agree_with_the_stages_called_alone(made, task):
    from sparseattn.attribution.importance import logits_without_each, output_change

    run = made.find(tiny.spec(), task)
    documents = run.documents(task)
    with reproducible():
        found = logits_without_each(run.classifier(), documents.ids, "inputs")
        alone = output_change(*found, documents.lengths, "logit")
    np.testing.assert_array_equal(alone, run.traces["inputs_loo_logit"])
