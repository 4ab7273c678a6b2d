import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

from sparseattn import __main__ as command
from sparseattn.errors import ExplainedError, UserError
from sparseattn.experiments import sweeps
from sparseattn.experiments.runs import Run
from sparseattn.experiments.store import Store
from sparseattn.report import book as report
from sparseattn.report.parameters import load_yaml
from sparseattn.results import frames, variants

TINY = [
    "-p", "task_options", json.dumps(tiny.OPTIONS), "-p", "embedding_size", "12",
    "-p", "hidden_size", "8", "-p", "epochs", "2", "-p", "observed", "6", "-p", "device", "cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEATTN_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


@pytest.fixture
def run(capsys):
    def called(*arguments):
        with pytest.raises(SystemExit) as stopped:
            command.main(arguments)
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return called


def test_help_lists_the_commands_at_once():
    src = str(Path(command.__file__).parents[1])
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sparseattn", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": src},
    )  # fmt: skip
    for name in [
        "sweep",
        "compute",
        "ledger",
        "verify",
        "tasks",
        "run",
        "book",
        "bench",
        "deviations",
    ]:
        assert f"  {name} " in shown.stdout
    for costly in ("torch", "pandas", "scipy", "altair"):
        assert f"| {costly}\n" not in shown.stderr


def test_sweep_then_ledger_then_verify(run, store):
    arguments = ["sweep", "--encoders", "none,bilstm", "--projections", "sparsegen", *TINY]
    arguments += ["--lams", "-10,.3", "--jobs", "1", "--quiet"]
    code, told, _ = run(*arguments)
    assert code == 0
    assert len(told.splitlines()) == 4
    assert "BiLSTM, additive, sparsegen λ = −10, seed 0: test accuracy 0." in told
    assert run(*arguments)[1] == told

    rows = json.loads(run("ledger", "--json")[1])
    assert sorted((row["encoder"], row["lam"]) for row in rows) == [
        ("bilstm", -10), ("bilstm", 0.3), ("none", -10), ("none", 0.3),
    ]  # fmt: skip
    assert run("ledger", "--csv")[1].count("\n") == 5
    assert rows[0]["key"] in run("ledger")[1]

    assert run("verify")[:2] == (0, "4 current\n")
    (store.root / "runs" / rows[0]["key"] / "curve.json").unlink()
    code, told, _ = run("verify")
    assert code == 1
    assert f"{rows[0]['key']}: curve.json is missing" in told


def test_a_ledger_for_a_spreadsheet_holds_no_formula(run, monkeypatch):
    one = pd.DataFrame({"task": ["=1.csv"], "lam": [-1.0]})
    monkeypatch.setattr(frames, "stored_ledger", lambda _: one)
    assert run("ledger", "--csv")[1] == "task,lam\n'=1.csv,-1.0\n"
    assert json.loads(run("ledger", "--json")[1]) == [{"task": "=1.csv", "lam": -1.0}]


def test_compute_says_where_the_run_is(run):
    code, told, _ = run("compute", "-p", "encoder", "none", *TINY)
    assert code == 0
    assert Path(told.splitlines()[-1]).is_dir()
    assert run("compute", "-p", "encoder=none", *TINY)[1] == told


def test_a_grid_from_a_file_and_options_over_it(run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sweeps, "ensure", lambda specs, *_, **__: asked.extend(specs) or [])
    file = tmp_path / "grid.yml"
    file.write_text("encoders: [none]\nseeds: [0, 1, 2]\nlearning_rate: 0.01\n")
    assert run("sweep", "--grid", str(file), "--seeds", "5")[0] == 0
    assert [(spec.encoder, spec.seed, spec.learning_rate) for spec in asked] == [("none", 5, 0.01)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "--lamz", "1"], "No such option: --lamz"),
        (["sweep", "--encoders", "bilstn"], "Did you mean 'bilstm'?"),
        (["sweep", "--projections", "sparsegen", "--lams", "1.5"], "less than 1"),
        (["sweep", "--lams", ".5"], "belong to sparsegen"),
        (["sweep", "--seeds", "-1"], "'seeds' was -1"),
        (["sweep", "--seeds", "[1"], "not YAML"),
        (["sweep", "-p", "epohcs", "3"], "Did you mean 'epochs'?"),
        (["sweep", "-p", "epochs", "three"], "'epochs' was 'three'"),
        (["sweep", "-p", "epochs"], "'epochs' has no value"),
        (["sweep", "--jobs", "0"], "--jobs"),
        (["sweep", "--grid", "no-such.yml"], "no-such.yml"),
        (["compute", "-p", "encoder", "lstm"], "Did you mean 'bilstm'?"),
        (["compute", "-p", "task", "no-such.csv"], "no-such.csv"),
        (["run", "05-agreement", "-p", "seeds", "0,1"], "-p seeds '[0, 1]'"),
        (["run", "05-agreement", "-p", "seeds", "[010]"], "was '010'; expected a valid integer"),
        (["run", "05-agreement", "-p", "epochs", "1:30"], "was '1:30'; expected a valid integer"),
        (["run", "no-such-notebook"], "There is no notebook 'no-such-notebook'"),
        (["swep"], "No such command 'swep'"),
    ],
)
def test_mistakes_are_explained_without_a_trace(run, arguments, said, store):
    code, told, error = run(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in told + error
    assert not store.root.exists()


def test_an_unwritable_store_is_explained(run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARSEATTN_STORE", str(tmp_path / "file" / "store"))
    code, _, error = run("sweep", "--encoders", "none", "--seeds", "0,1", "--jobs", "1", *TINY)
    assert code == 2
    assert error.count("Cannot write to the run store") == 1
    assert "2 of 2 runs failed" in error


def test_interruption_and_failure_have_codes_of_their_own(run, monkeypatch):
    def stop(*_, **__):
        raise sweeps.Interrupted("1 of 2 runs are done and kept.")

    monkeypatch.setattr(sweeps, "ensure", stop)
    code, _, error = run("sweep")
    assert (code, error) == (130, "1 of 2 runs are done and kept.\n")

    def key(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "ensure", key)
    assert run("sweep")[::2] == (130, "Interrupted.\n")

    def fail(*_, **__):
        raise sweeps.SweepError("1 of 2 runs failed")

    monkeypatch.setattr(sweeps, "ensure", fail)
    assert run("sweep")[::2] == (1, "1 of 2 runs failed\n")


def test_notebooks_get_parameters_as_yaml(run, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(report, "run", lambda *given: called.append(given) or given[2])
    file = tmp_path / "p.yml"
    file.write_text("task: sst\nseeds: [7]\n")
    code, told, _ = run(
        "run", "05-agreement", "-f", str(file), "-p", "seeds", "[0, 1]", "-p", "learning_rate",
        "1e-3", "-o", str(tmp_path / "out.ipynb"),
    )  # fmt: skip
    assert code == 0
    expected = {"task": "sst", "seeds": [0, 1], "learning_rate": 0.001}
    assert called == [("05-agreement", expected, tmp_path / "out.ipynb")]
    assert told.strip() == str(tmp_path / "out.ipynb")


def test_book_tells_a_failing_notebook_by_its_code(run, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(report, "build", lambda *a: given.append(a) or tmp_path / "index.html")
    assert run("book", "--parameters", "report.yml")[:2] == (0, f"Open {tmp_path}/index.html\n")
    assert given == [(Path("report.yml"), None, False)]

    def fail(*_):
        raise ExplainedError("Notebook 'x' failed in cell 3.")

    monkeypatch.setattr(report, "build", fail)
    assert run("book")[::2] == (1, "Notebook 'x' failed in cell 3.\n")


def test_tasks_say_what_is_at_hand(run, monkeypatch, tmp_path):
    monkeypatch.delenv("SPARSEATTN_DATA", raising=False)
    code, told, _ = run("tasks", "--sizes")
    assert code == 0
    assert "planted: built in" in told
    assert "split train, documents 1500" in told
    assert "imdb: not here" in told
    monkeypatch.setenv("SPARSEATTN_DATA", str(tmp_path / "nowhere"))
    assert "which is not a folder" in run("tasks")[1]


def test_jacobians_of_published_runs(run, monkeypatch, tmp_path, store):
    monkeypatch.setattr("sparseattn.paths.results", lambda: tmp_path / "results")
    key = store.compute(tiny.spec(), tiny.task()).key
    assert run("publish", key)[0] == 0
    given = ("jacobian", key, "--documents", "2")
    assert run(*given)[:2] == (0, f"{key}  BiLSTM, additive, softmax, seed 0: compared\n")
    assert run(*given)[1].endswith("was already\n")
    code, _, error = run("jacobian", "--task", "sst")
    assert code == 2
    assert "None of the published runs" in error


@pytest.mark.parametrize("command", ["sweep", "adversary", "examine"])
def test_a_grid_can_go_to_a_cluster(run, monkeypatch, command):
    sent = []

    def submit(specs, store, cluster, jobs, after, **options):
        sent.append((specs, cluster, jobs, list(after), options))
        return [f"{specs[0].KIND} {number}" for number in range(len(specs))]

    monkeypatch.setattr("sparseattn.experiments.cluster.submit", submit)
    monkeypatch.setattr("sparseattn.experiments.cluster.queued", lambda *_: {})
    code, told, _ = run(
        command, "--cluster", "slurm", "--partition", "gpu", "--jobs", "9", *TINY
    )  # fmt: skip
    assert code == 0
    options = {"timeout_min": 240, "mem_gb": 8, "slurm_partition": "gpu"}
    assert all((one[1], one[2], one[4]) == ("slurm", 9, options) for one in sent)
    counts = {"sweep": [1], "adversary": [1, 2], "examine": [1, 1]}[command]
    assert [len(one[0]) for one in sent] == counts
    assert [one[3] for one in sent] == [[], ["runs 0"]][: len(counts)]  # after what they rest on
    assert told.startswith(f"{sum(counts)} jobs submitted, 0 were already; 0 runs are in")


def test_what_is_queued_is_not_submitted_again(run, monkeypatch):
    monkeypatch.setattr("sparseattn.experiments.cluster.submit", None)
    monkeypatch.setattr(
        "sparseattn.experiments.cluster.queued", lambda specs, _: dict.fromkeys(specs, "job")
    )
    code, told, _ = run("sweep", "--cluster", "slurm", "--seeds", "0,1", *TINY)
    assert code == 0
    assert told.startswith("0 jobs submitted, 2 were already; 0 runs are in the store.")


def test_waiting_is_for_slurm(run):
    assert run("sweep", "--wait", *TINY)[0] == 2
    assert run("sweep", "--wait", "--cluster", "local", *TINY)[0] == 2


def test_followed_jobs_go_on_when_one_stops_looking(run, monkeypatch):
    def stop(*_, **__):
        raise sweeps.Interrupted("1 of 2 runs are done and kept.")

    monkeypatch.setattr(sweeps, "ensure", stop)
    code, _, error = run("sweep", "--cluster", "slurm", "--wait")
    assert code == 130
    assert "go on meanwhile" in error
    assert "go on" not in run("sweep", "--cluster", "local")[2]


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_failing_jobs_are_told_with_their_reasons(run):
    options = ["--cluster", "debug", "--seeds", "0,1", *TINY, "-p", "learning_rate", "1e30"]
    code, told, error = run("sweep", *options)
    assert code == 2
    assert told == ""
    assert "2 of 2 runs failed" in error
    assert error.count("seed ") == 2
    assert "The loss was not" in error
    assert "Traceback" not in error


def test_deviations_keep_their_runs_apart(run, store, monkeypatch, tmp_path):
    """Two runs of one classifier and seed in a store could not be published from it."""
    asked, kept = [], []

    def ensure(specs, where, *_, **__):
        asked.append((where.root, specs))
        return [Run(spec, "", where.root, {}) for spec in specs]

    monkeypatch.setattr(sweeps, "ensure", ensure)
    monkeypatch.setattr(variants, "record", lambda made: kept.extend(made) or 1)
    code, told, _ = run("deviations", "--seeds", "0,4", "--jobs", "1")
    assert code == 0
    assert [root for root, _ in asked] == [store.root, store.root / "variants"]
    assert {spec.seed for _, specs in asked for spec in specs} == {0, 4}
    assert [name for name, _ in kept[:4]] == [variants.OURS] * 4
    assert all(name != variants.OURS for name, _ in kept[4:])
    assert told == f"1 summaries added, {len(kept) - 1} were there already.\n"


def test_yaml_numbers_as_people_write_them():
    assert load_yaml("[1e-3, 1.e3, .5, -2E+4, 1]") == [1e-3, 1e3, 0.5, -2e4, 1]
    assert load_yaml("[e3, 1e, one, '1e3']") == ["e3", "1e", "one", "1e3"]


def test_yaml_words_and_numbers_are_what_they_look_like():
    assert load_yaml("{a: no, on: off, b: 010, c: 1:30}") == {
        "a": "no", "on": "off", "b": "010", "c": "1:30",
    }  # fmt: skip
    assert load_yaml("[true, false, null, ~, -3, .inf]") == [True, False, None, None, -3, np.inf]
    assert load_yaml("") is None


@pytest.mark.parametrize("path", ["#1/r.csv", "@v1/r.csv", "%a/r.csv"])
def test_a_path_may_start_as_no_yaml_does(run, monkeypatch, path):
    called = []
    monkeypatch.setattr(report, "run", lambda *given: called.append(given[1]) or given[2])
    assert run("run", "05-agreement", "-p", "task", path)[0] == 0
    assert called == [{"task": path}]


def test_pairs_need_a_value():
    with pytest.raises(UserError, match="'epochs' has no value"):
        command._pairs(["epochs"])
