"""A real SLURM of one node: arrays, jobs killed and queued again, failures, one store."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import slurm
import tiny
from trusted import THOROUGH, record

from sparseattn import files, paths
from sparseattn.experiments.store import Store

SEEDS = range(4)
OPTIONS = [
    "-p", "task_options", json.dumps(tiny.OPTIONS), "-p", "embedding_size", "12",
    "-p", "hidden_size", "8", "-p", "observed", "6", "-p", "device", "cpu",
]  # fmt: skip
ON_SLURM = ["--cluster", "slurm", "--memory", "2", "--minutes", "20"]
LONG = 10**6
tried = {"jobs": 0, "lost": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if not THOROUGH:
        pytest.skip("a whole SLURM is started by the slow suite only: make trust")
    if why := slurm.lacking():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("slurm")
    with slurm.cluster(folder) as told:
        yield told
    assert not [name for name in slurm.DAEMONS if slurm.running(name, folder)]
    record(
        "slurm",
        "jobs of a real SLURM: run, killed and queued again, preempted, cancelled, failing",
        tried["jobs"],
        tried["lost"],
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEATTN_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


@pytest.fixture
def start(store):
    """Start the command line; what is left of it in the end is ended."""
    started = []

    def begin(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "sparseattn", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(paths.root() / "src")},
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def command(start):
    """Run the command line: code, output, errors."""

    def done(*arguments):
        process = start(*arguments)
        told, error = process.communicate(timeout=900)
        return process.returncode, told, error

    return done


def queue(run):
    rows = run("squeue", "--me", "--array", "--noheader", "--format=%i %T").splitlines()
    return dict(row.split() for row in rows)


def until(ready, seconds=300):
    started = time.monotonic()
    while not (found := ready()):
        assert time.monotonic() - started < seconds
        time.sleep(0.2)
    return found


def weights(store):
    """Return the SHA-256 of each run's weights, by key."""
    return {
        run.key: hashlib.sha256((run.path / files.WEIGHTS).read_bytes()).hexdigest()
        for run in store.runs()
    }


def alone(folder, seeds, **changes):
    """Compute the same without a cluster, in this process."""
    other = Store(folder / "alone")
    for seed in seeds:
        other.compute(tiny.spec(seed=seed, **changes), tiny.task())
    return weights(other)


@contextmanager
def counted(jobs):
    """Count jobs, and them as lost unless all that is asserted of them holds."""
    tried["jobs"] += jobs
    tried["lost"] += jobs
    yield
    tried["lost"] -= jobs


def kept(store, expected):
    """Assert that a store holds these weights, bit for bit, nothing else, and all of it whole."""
    assert weights(store) == expected
    assert store.verify().empty


@counted(4)
def test_a_sweep_of_four_is_one_array_and_gives_the_bits_of_this_process(
    run, store, command, tmp_path
):
    seeds = ",".join(map(str, SEEDS))
    code, told, error = command(
        "sweep", "--seeds", seeds, "-p", "epochs", "2", *OPTIONS, *ON_SLURM, "--wait"
    )
    assert code == 0, error
    assert "4/4 runs" in error
    assert told.count("test accuracy") == 4
    jobs = {path.name for path in store.root.glob("jobs/*/*") if path.is_dir()}
    (array,) = {name.partition("_")[0] for name in jobs if "_" in name}
    assert {f"{array}_{number}" for number in SEEDS} <= jobs
    kept(store, alone(tmp_path, SEEDS))
    assert "export MKL_CBWR" in next(store.root.glob("jobs/*/*/*_submission.sh")).read_text()
    code, told, _ = command("sweep", "--seeds", seeds, "-p", "epochs", "2", *OPTIONS, *ON_SLURM)
    assert told.startswith("0 jobs submitted, 0 were already; 4 runs are in the store.")


@pytest.mark.parametrize("how", ["requeued", "preempted"])
@counted(3)
def test_a_job_that_is_killed_and_queued_again_comes_back(run, store, start, tmp_path, how):
    settings = {"epochs": 300, "patience": 300}
    given = [word for name, value in settings.items() for word in ("-p", name, str(value))]
    following = start("sweep", "--seeds", "0,1", *given, *OPTIONS, *ON_SLURM, "--wait")
    job, _ = until(lambda: at_work(store))
    if how == "requeued":
        run("scontrol", "requeue", job)
    else:  # as SLURM does, before another job takes its place
        run("scancel", job, "--signal=TERM")
        run("scancel", job, "--signal=USR2")
    until(lambda: queue(run).get(job) == "PENDING", 120)
    _, error = following.communicate(timeout=900)
    assert following.returncode == 0, error
    log = next(store.root.glob(f"jobs/*/{job}/{job}_0_log.out")).read_text()
    assert log.count("Starting with") == 2
    kept(store, alone(tmp_path, (0, 1), **settings))


def at_work(store):
    """Return a job that trains, and its process, which has begun a run; None if there is none."""
    for partial in store.root.glob("partial/*"):
        process = partial.name.split(".")[1]
        try:
            lines = Path("/proc", process, "environ").read_text().split("\0")
        except OSError:  # it has just ended
            continue
        known = dict(line.split("=", 1) for line in lines if "=" in line)
        if "SLURM_ARRAY_JOB_ID" in known:
            job = f"{known['SLURM_ARRAY_JOB_ID']}_{known['SLURM_ARRAY_TASK_ID']}"
            return job, int(process)
    return None


@counted(4)
def test_failed_and_cancelled_jobs_are_named_with_their_reasons(run, store, start, command):
    given = ["-p", "epochs", str(LONG), "-p", "patience", str(LONG), *OPTIONS]
    following = start("sweep", "--seeds", "0,1", *given, *ON_SLURM, "--wait")
    job, process = until(lambda: at_work(store))
    os.kill(process, signal.SIGKILL)  # as the kernel does for want of memory
    other = until(lambda: next((name for name in queue(run) if name != job), None))
    run("scancel", other)
    told, error = following.communicate(timeout=300)
    assert following.returncode == 1
    assert told == ""
    assert "2 of 2 runs failed" in error
    assert error.count("seed ") == 2
    assert f"Its job {job} ended as FAILED (NonZeroExitCode) without a result" in error
    assert f"Its job {other} ended as CANCELLED" in error
    assert "Traceback" not in error
    code, _, error = command(
        "sweep", "--seeds", "0,1", "-p", "learning_rate", "1e30", *OPTIONS, *ON_SLURM, "--wait"
    )
    assert code == 2
    assert error.count("The loss was not") == 1
    assert "2 of 2 runs failed" in error
    kept(store, {})


@counted(6)
def test_adversaries_come_after_their_bases_and_what_is_queued_once(run, store, command, tmp_path):
    given = ["--seeds", "0,1", "-p", "epochs", "2", *OPTIONS, *ON_SLURM]
    code, told, error = command("adversary", "--variants", "frozen", "--epochs", "2", *given)
    assert (code, error) == (0, "")
    assert told.startswith("4 jobs submitted, 0 were already; 0 runs are in the store.")
    code, _, error = command("adversary", "--variants", "frozen", "--epochs", "2", *given, "--wait")
    assert code == 0, error
    assert len(store.results("adversaries")) == 2
    assert len(list(store.root.glob("jobs/*/computes.json"))) == 2  # none submitted twice
    kept(store, alone(tmp_path, (0, 1)))
    code, told, error = command("examine", "--documents", "3", *given, "--wait")
    assert code == 0, error
    assert told.count("3 documents") == 2


def test_a_partition_that_is_not_there_is_told(run, store, command):
    code, told, error = command("sweep", *OPTIONS, *ON_SLURM, "--partition", "gpu")
    assert (code, told) == (2, "")
    assert "Cannot submit to cluster 'slurm'" in error
    assert "partition" in error
    assert "Traceback" not in error
