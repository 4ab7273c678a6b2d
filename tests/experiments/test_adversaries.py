"""Adversaries are identified, kept and found as runs are."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny

from sparseattn import __main__ as command
from sparseattn import files
from sparseattn.errors import UserError
from sparseattn.experiments import making, specs
from sparseattn.experiments.specs import AdversarySpec, adversaries_of, bases
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure
from sparseattn.models import adversary


@pytest.fixture(scope="module")
def task():
    return tiny.task()


@pytest.fixture(scope="module")
def made(tmp_path_factory, task):
    """A store with one adversary of each kind; copied by those who change it."""
    store = Store(tmp_path_factory.mktemp("store"))
    return store, ensure(everything(), store, jobs=1, progress=False)


def everything():
    return adversaries_of([tiny.spec()], ["frozen", "unfrozen", "reseeded", "uniform"])


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made[0].root, tmp_path / "store")
    return Store(tmp_path / "store")


# --- specs ---


def test_what_is_left_out_follows_the_base():
    base = tiny.spec(seed=3, learning_rate=0.01, patience=2)
    frozen, unfrozen = adversaries_of([base])
    assert (frozen.variant, unfrozen.variant) == ("frozen", "unfrozen")
    assert (unfrozen.epochs, unfrozen.patience, unfrozen.learning_rate, unfrozen.seed) == (
        base.epochs, 2, 0.01, 3,
    )  # fmt: skip
    assert (frozen.epochs, frozen.learning_rate) == (2 * base.epochs, 0.1)
    (told,) = adversaries_of([base], ["frozen"], epochs=7, learning_rate=None)
    assert (told.epochs, told.learning_rate) == (7, 0.1)


def test_a_grid_has_each_once_and_controls_no_pressure():
    wanted = [tiny.spec(seed=seed) for seed in (0, 2)]
    found = adversaries_of(wanted, ["frozen", "reseeded", "uniform"], [0.1, 1])
    assert len(found) == len(set(found)) == 2 * (2 + 1 + 1)
    seeds = [one.seed for one in found if one.variant == "reseeded"]
    assert seeds == [2, 0]  # the other one there is
    (alone,) = adversaries_of(wanted[:1], ["reseeded"])
    assert alone.seed == 1
    assert {spec.seed for spec in bases([alone])} == {0, 1}
    assert bases(found) == [wanted[0], wanted[1]]


def test_identity_depends_on_what_the_numbers_depend_on(monkeypatch):
    (one,) = adversaries_of([tiny.spec()], ["unfrozen"])
    same = AdversarySpec.model_validate_json(one.model_dump_json())
    assert same == one
    assert same.key("f") == one.key("f")
    assert specs.stored_spec(specs.AdversarySpec.KIND, json.loads(one.model_dump_json())) == one
    others = [
        adversaries_of([tiny.spec(seed=1)], ["unfrozen"]),
        adversaries_of([tiny.spec()], ["frozen"]),
        adversaries_of([tiny.spec()], ["unfrozen"], [0.5]),
        adversaries_of([tiny.spec()], ["unfrozen"], epochs=9),
        adversaries_of([tiny.spec()], ["uniform"]),
        adversaries_of([tiny.spec(observed=7)], ["unfrozen"]),
    ]
    keys = {one.key("f"), *(other.key("f") for (other,) in others), one.key("g")}
    assert len(keys) == 8
    (flat,), (again,) = (adversaries_of([tiny.spec()], ["uniform"], [p]) for p in (0.1, 2.0))
    assert flat.key("f") == again.key("f")  # of λ_adv a control has none
    monkeypatch.setitem(specs.ADVERSARY_VERSIONS, "unfrozen", 99)
    assert one.key("f") not in keys


@pytest.mark.parametrize(
    ("variants", "more", "said"),
    [
        (["frozzen"], {}, "Did you mean 'frozen'?"),
        (["frozen"], {"pressures": [-1.0]}, "greater than or equal to 0"),
        (["frozen"], {"epohcs": 1}, "Did you mean 'epochs'?"),
        ([], {}, "at least one"),
        (["frozen"], {"pressures": []}, "at least one"),
    ],
)
def test_a_wrong_grid_is_explained(variants, more, said):
    with pytest.raises(UserError) as caught:
        adversaries_of([tiny.spec()], variants, **more)
    assert said in str(caught.value)


# --- what is kept ---


def test_an_adversary_holds_its_numbers(made, task):
    store, found = made
    base = Store(store.root).find(tiny.spec(), task)
    for one in found:
        frame = one.measurements()
        assert len(frame) == len(task.test)
        observed = frame["tau_gradient"].notna()
        assert observed.sum() == observed[: tiny.SETTINGS["observed"]].sum() > 0
        for name in ("jsd", "accuracy", "base_accuracy", "accuracy_change", "agreement"):
            assert one.manifest[name] == one.manifest[name]
        assert frame["jsd"].mean() == pytest.approx(one.manifest["jsd"], abs=1e-6)
        assert frame["correct"].mean() == one.manifest["accuracy"]
        assert one.manifest["base_accuracy"] == base.manifest["accuracy"]
        assert one.manifest["base"] == base.key
        # The observed come first, in the order of the base's measurements.
        ours = base.measurements()
        np.testing.assert_allclose(frame["base_logit"][: len(ours)], ours["logit"], atol=1e-5)
        np.testing.assert_allclose(
            frame["base_tau_inputs_gradient"][: len(ours)], ours["tau_inputs_gradient"], atol=1e-6
        )
        np.testing.assert_array_equal(one.traces["base_attention"], base.traces["attention"])
        assert one.stored
        assert "weights.safetensors" not in one.manifest["files"]
    by = {one.spec.variant: one for one in found}
    assert len(by["frozen"].curve) > 0 == len(by["uniform"].curve)
    assert by["uniform"].measurements()["jsd_disjoint"].max() == pytest.approx(0, abs=1e-6)
    other = Store(store.root).find(tiny.spec(seed=1), task)
    assert by["reseeded"].manifest["accuracy"] == other.manifest["accuracy"]


def test_those_of_a_store_are_listed_oldest_first(made):
    kept = made[0].results("adversaries")
    assert [one.spec.variant for one in kept] == ["frozen", "unfrozen", "reseeded", "uniform"]
    assert {one.state for one in kept} == {"current"}
    assert all(one.manifest["seconds"]["train"] >= 0 for one in kept)


def test_same_spec_same_bits_and_whatever_the_processes(made, tmp_path):
    again = ensure(everything(), Store(tmp_path), jobs=2, progress=False)
    for one, other in zip(made[1], again, strict=True):
        pd.testing.assert_frame_equal(one.measurements(), other.measurements())
        for name, values in one.traces.items():
            np.testing.assert_array_equal(values, other.traces[name])


def test_found_without_computing(store, monkeypatch):
    monkeypatch.setattr(making, "diverge", None)
    assert len(ensure(everything(), store, jobs=1, progress=False)) == 4


def test_an_interruption_leaves_nothing(store, task):
    (spec,) = adversaries_of([tiny.spec()], ["frozen"], [0.3])

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.compute(spec, task, stop)
    assert store.find(spec, task) is None
    assert not list((store.root / "partial").iterdir())
    assert len(store.results("adversaries")) == 4


def test_half_written_is_not_there(store, task, monkeypatch):
    (spec,) = adversaries_of([tiny.spec()], ["uniform", "frozen"], [0.3])[1:]

    def full(folder, content, manifest):
        if manifest:
            (folder / files.TRACES).touch()
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(UserError, match="No space left"):
        store.compute(spec, task)
    assert store.find(spec, task) is None
    assert store.verify().empty


@pytest.mark.parametrize("name", [files.DOCUMENTS, files.TRACES, files.MANIFEST])
def test_a_damaged_one_is_set_aside_and_made_anew(store, made, task, name):
    (spec,) = adversaries_of([tiny.spec()], ["uniform"])
    one = store.find(spec, task)
    content = bytearray((one.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (one.path / name).write_bytes(content)
    if name == files.DOCUMENTS:
        with pytest.raises(UserError, match=f"Adversary {one.key} is damaged"):
            one.measurements()
    assert store.find(spec, task) is None
    again = store.compute(spec, task)
    whole = next(other for other in made[1] if other.spec == spec)
    pd.testing.assert_frame_equal(again.measurements(), whole.measurements())
    assert list(Store(store.root).verify()["key"]) == []  # runs are unharmed


# --- the command line ---


@pytest.fixture
def run(store, capsys, monkeypatch):
    monkeypatch.setenv("SPARSEATTN_STORE", str(store.root))

    def called(*arguments):
        with pytest.raises(SystemExit) as stopped:
            command.main(["adversary", *arguments])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return called


TINY = [
    "-p", "task_options", json.dumps(tiny.OPTIONS), "-p", "embedding_size", "12", "-p",
    "hidden_size", "8", "-p", "epochs", "2", "-p", "observed", "6", "-p", "device", "cpu",
]  # fmt: skip


def test_command_finds_and_computes(run, store, monkeypatch):
    arguments = [*TINY, "--variants", "frozen,uniform", "--jobs", "1", "--quiet"]
    monkeypatch.setattr(adversary, "diverge", None)  # both are there
    code, told, _ = run(*arguments)
    assert code == 0
    assert len(told.splitlines()) == 2
    assert "BiLSTM, additive, softmax, frozen λ_adv = 1, seed 0: JSD 0." in told
    own = ["--pressures", "0.5", "--epochs", "1", "--patience", "7", "--learning-rate", "0.25"]
    code, told, _ = run(*TINY, "--variants", "frozen", *own)
    assert code == 0
    assert "λ_adv = 0.5" in told
    kept = Store(store.root).get(told.split()[0])
    assert (kept.spec.epochs, kept.spec.patience, kept.spec.learning_rate) == (1, 7, 0.25)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variants", "frozzen"], "Did you mean 'frozen'?"),
        (["--pressures", "-1"], "'pressure' was -1"),
        (["--pressures", "much"], "'pressure' was 'much'"),
        (["--epochs", "0"], "--epochs"),
        (["--patience", "0"], "--patience"),
        (["--learning-rate", "-1"], "'learning_rate' was -1"),
        (["--encoders", "bilstn"], "Did you mean 'bilstm'?"),
        (["--lams", ".5"], "belong to sparsegen"),
        (["--variant", "frozen"], "No such option"),
    ],
)
def test_mistakes_are_explained_without_a_trace(run, arguments, said):
    code, told, error = run(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in told + error
