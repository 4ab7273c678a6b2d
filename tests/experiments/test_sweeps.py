import multiprocessing
import os
import pickle
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import submitit
import tiny

from sparseattn import files
from sparseattn.errors import UserError
from sparseattn.experiments import cluster, progress, sweeps
from sparseattn.experiments.cluster import Cluster, Computation, submit
from sparseattn.experiments.progress import Progress
from sparseattn.experiments.specs import adversaries_of, examinations_of, grid
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import Interrupted, SweepError, ensure, missing
from sparseattn.models.training import LEARNING_RATES


def specs(seeds, **changes):
    return [tiny.spec(seed=seed, **changes) for seed in seeds]


# --- grid ---


def test_grid_is_the_product_and_sparsity_goes_with_its_projection():
    found = grid(
        encoders=["none", "bilstm"],
        alignments=["additive", "dot"],
        projections=["softmax", "sparsegen", "entmax"],
        lams=[-10, 0.3],
        alphas=[1.5, "learned"],
        seeds=range(3),
    )
    assert len(found) == len(set(found)) == 2 * 2 * (1 + 2 + 2) * 3
    assert {(spec.projection, spec.lam, spec.alpha) for spec in found} == {
        ("softmax", None, None), ("sparsegen", -10, None), ("sparsegen", 0.3, None),
        ("entmax", None, 1.5), ("entmax", None, "learned"),
    }  # fmt: skip
    assert [spec.seed for spec in found[:4]] == [0, 1, 2, 0]


def test_one_function_comes_once():
    found = grid(projections=["sparsemax", "sparsegen", "sparsemax"], lams=[0, 0.0, 0.5])
    assert [(spec.projection, spec.lam) for spec in found] == [("sparsemax", 0), ("sparsegen", 0.5)]


def test_each_encoder_keeps_its_own_learning_rate_unless_told():
    rates = [spec.learning_rate for spec in grid(encoders=["bilstm", "transformer"])]
    assert rates == [LEARNING_RATES[encoder] for encoder in ("bilstm", "transformer")]
    told = grid(encoders=["bilstm", "transformer"], learning_rate=0.1)
    assert [spec.learning_rate for spec in told] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"encoders": ["bilstn"]}, "Did you mean 'bilstm'?"),
        ({"encoders": "bilstm"}, "'encoders' was 'bilstm'; expected a valid list"),
        ({"projections": ["sparsegen"], "lams": [1.0]}, "'lams' was 1.0; expected less than 1"),
        ({"projections": ["entmax"], "alphas": [0.5]}, "'alphas' was 0.5"),
        ({"projections": ["sparsegen"]}, "needs 'lams'"),
        ({"seeds": [-1]}, "'seeds' was -1"),
        ({"seeds": []}, "'seeds' was []"),
        ({"encoder": "none"}, "Unknown parameter 'encoder'. Did you mean 'encoders'?"),
        ({"epohcs": 3}, "Unknown parameter 'epohcs'. Did you mean 'epochs'?"),
        ({"epochs": 0}, "'epochs' was 0"),
        ({"task": "imbd"}, "Did you mean 'imdb'?"),
    ],
)
def test_a_wrong_grid_is_explained(given, said):
    with pytest.raises(UserError) as caught:
        grid(**given)
    assert said in str(caught.value)


# --- ensure ---


def with_our_path():
    here = Path(__file__).parents[1]
    path = os.pathsep.join((str(here), str(here.parent / "src")))
    return {**os.environ, "PYTHONPATH": path}


def sums(run):
    lines = (run.path / files.SUMS).read_text().splitlines()
    return [line for line in lines if "safetensors" in line]


def test_results_do_not_depend_on_the_processes(tmp_path):
    wanted = specs((2, 0, 1))
    alone = ensure(wanted, Store(tmp_path / "a"), jobs=1, progress=False)
    together = ensure(wanted, Store(tmp_path / "b"), jobs=3, progress=False)
    assert [run.spec for run in alone] == [run.spec for run in together] == wanted
    assert [sums(run) for run in alone] == [sums(run) for run in together]


def test_found_runs_start_no_process_and_take_no_time(tmp_path, monkeypatch, capfd):
    wanted, store = specs((0, 1)), Store(tmp_path)
    ensure(wanted, store, jobs=1)
    assert "2/2 runs" in capfd.readouterr().err
    monkeypatch.setattr(sweeps, "_pool", None)
    monkeypatch.setattr(Store, "compute", None)
    start = time.perf_counter()
    assert len(ensure(wanted + wanted[:1], store, jobs=2)) == 3
    assert time.perf_counter() - start < 0.5
    assert capfd.readouterr().err == ""


def test_a_single_missing_run_is_computed_here(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "_pool", None)
    (run,) = ensure(specs([0]), Store(tmp_path), jobs=4, progress=False)
    assert run.spec.seed == 0


MEMORY = """
import resource
import sys
import tiny
import torch
from sparseattn.experiments.cluster import Computation

def fetched():
    size = 2**24  # floats, 16,384 pages
    torch.ones(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = fetched()
Computation(tiny.spec(), sys.argv[1])()
print(before // 16_384, fetched() // 16_384)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_memory_that_is_freed_stays_with_whatever_process_computes(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True, text=True, check=True, env=with_our_path(),
    )  # fmt: skip
    before, after = map(int, told.stdout.split())
    assert before == 10
    assert after < 3  # the heap may still grow once


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_run_stops_no_other(tmp_path, jobs):
    store = Store(tmp_path)
    wanted = [*specs([0]), *specs([1], learning_rate=1e30), *specs([2])]
    with pytest.raises(UserError, match=r"1 of 3 runs failed") as caught:
        ensure(wanted, store, jobs=jobs, progress=False)
    assert "- planted: BiLSTM, additive, softmax, seed 1\n  The loss was not" in str(caught.value)
    assert missing(wanted, store) == wanted[1:2]


def test_an_error_of_ours_is_told_with_its_trace(tmp_path, monkeypatch):
    monkeypatch.setattr("sparseattn.experiments.making.fit", lambda *_: 1 / 0)
    with pytest.raises(SweepError, match="ZeroDivisionError") as caught:
        ensure(specs([0, 1]), Store(tmp_path), jobs=1, progress=False)
    assert "2 of 2 runs failed" in str(caught.value)
    assert "making.py" in str(caught.value)


def test_a_killed_process_is_a_failed_run_and_no_more(tmp_path, monkeypatch):
    store, killed = Store(tmp_path), []

    def kill(self, *_):
        """At the first epoch told, kill the process whose epoch it is."""
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            os.kill(killed[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Progress, "epoch", kill)
    with pytest.raises(SweepError, match=r"1 of 3 runs failed.*\n.*\n.*SIGKILL.*fewer jobs"):
        ensure(specs([0, 1, 2], epochs=60), store, jobs=2, progress=False)
    assert len(missing(specs([0, 1, 2], epochs=60), store)) == 1


SWEEP = """
import signal
import sys
import tiny
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure

if __name__ == "__main__":
    # A shell starts what runs in its background with Ctrl-C ignored, tests and their children too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = [tiny.spec(seed=0), *(tiny.spec(seed=s, epochs=10**6, patience=10**6) for s in (1, 2))]
    try:
        ensure(wanted, Store(sys.argv[1]), jobs=2, progress=False)
    except KeyboardInterrupt as stop:
        print(stop, flush=True)
        sys.exit(130)
"""


def test_an_interrupted_sweep_keeps_what_is_done_and_goes_on(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SWEEP)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "store")],
        stdout=subprocess.PIPE, text=True, env=with_our_path(),
        start_new_session=True,
    )  # fmt: skip
    store, task = Store(tmp_path / "store"), tiny.task()
    try:
        started = time.monotonic()
        while store.find(tiny.spec(), task) is None:
            assert process.poll() is None
            assert time.monotonic() - started < 60
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=120)  # the runs under way would take hours
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "1 of 3 runs are done and kept" in told
    runs = ensure(specs((0, 1)), store, jobs=1, progress=False)
    assert [run.spec.seed for run in runs] == [0, 1]
    assert store.verify().empty  # which removes the folders of those that ended, not of others
    assert not list((store.root / "partial").iterdir())


def test_sigterm_interrupts_too(tmp_path, monkeypatch):
    compute = Store.compute

    def stop_at_second(self, spec, *rest):
        if spec.seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        return compute(self, spec, *rest)

    monkeypatch.setattr(Store, "compute", stop_at_second)
    with pytest.raises(Interrupted, match="1 of 3 runs are done and kept"):
        ensure(specs([0, 1, 2]), Store(tmp_path), jobs=1, progress=False)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_time_left_is_estimated_from_like_runs(tmp_path):
    store = Store(tmp_path)
    wanted = specs([1, 2, 3])
    assert Progress(wanted, 1, store.runs(), False).seconds_left() is None
    (run,) = ensure(specs([0]), store, progress=False)
    took = sum(run.manifest["seconds"].values())
    shown = Progress(wanted, 2, store.runs(), False)
    assert shown.seconds_left() == pytest.approx(3 * took / 2)
    shown.finish(wanted[0], 5 * took)
    assert shown.seconds_left() == pytest.approx(2 * 3 * took / 2)


def test_a_page_keeps_no_progress(tmp_path, monkeypatch, capfd):
    shown = []
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_notebook_line", lambda: shown.append)
    ensure(specs([0]), Store(tmp_path), jobs=1)
    assert shown[0].startswith("0/1 runs")
    assert shown[-2].startswith("1/1 runs")
    assert shown[-1] == ""
    assert capfd.readouterr() == ("", "")


def test_a_file_gets_a_line_now_and_then(tmp_path, capfd):
    ensure(specs([0]), Store(tmp_path), jobs=1)
    told = capfd.readouterr().err
    assert [line.split(",")[0] for line in told.splitlines()] == ["0/1 runs", "1/1 runs"]
    assert "\r" not in told


# --- cluster ---


# submitit leaves its debugging logs open.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_jobs_of_a_cluster_fill_the_store(tmp_path):
    store, wanted = Store(tmp_path), specs([0, 1])
    jobs = submit(wanted, store, "debug", timeout_min=5)
    assert missing(wanted, store) == wanted
    keys = [job.result() for job in jobs]
    assert missing(wanted, store) == []
    assert keys == [run.key for run in store.runs()]


def test_a_preempted_job_is_queued_again_as_it_was(tmp_path):
    job = Computation(tiny.spec(), str(tmp_path))
    again = job.checkpoint()
    assert again.function is job
    assert pickle.loads(pickle.dumps(again.function)).wanted() == tiny.spec()


def test_all_kinds_of_specs_reach_their_job_as_they_are(tmp_path):
    base = tiny.spec()
    for spec in [
        tiny.spec(learning_rate=1 / 3, projection="sparsegen", lam=-0.1),
        *adversaries_of([base], ["frozen", "reseeded", "uniform"], [0.1]),
        *examinations_of([base], 7),
    ]:
        wanted = Computation(spec, str(tmp_path)).wanted()
        assert (type(wanted), wanted) == (type(spec), spec)


@pytest.mark.slow
def test_jobs_in_processes_of_submitit_are_followed(tmp_path, capfd):
    """An adversary among them, whose base its job computes; the failed one says why."""
    (rival,) = adversaries_of(specs([2]), ["frozen"], epochs=2)
    wanted = [*specs([1], learning_rate=1e30), rival]
    store = Store(tmp_path)
    with pytest.raises(UserError, match=r"1 of 2 runs failed") as caught:
        ensure(wanted, store, jobs=2, compute=Cluster("local", {"timeout_min": 5}))
    assert "seed 1\n  The loss was not" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert missing(wanted, store) == wanted[:1]
    assert capfd.readouterr().err.splitlines()[-1].startswith("2/2 runs")
    (alone,) = ensure([rival], Store(tmp_path / "alone"), progress=False)
    (there,) = store.results("adversaries")
    assert sums(there) == sums(alone)
    assert [sums(run) for run in store.runs()] == [
        sums(run) for run in Store(tmp_path / "alone").runs()
    ]


def test_a_killed_process_of_submitit_is_a_failed_run(tmp_path, monkeypatch):
    def kill(*given, **more):
        (job,) = made = submit(*given, **more)
        os.kill(job._process.pid, signal.SIGKILL)
        return made

    monkeypatch.setattr(cluster, "submit", kill)
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)
    with pytest.raises(SweepError, match="has not produced any output"):
        ensure(specs([0]), Store(tmp_path), progress=False, compute=Cluster("local"))


class Waiting(submitit.SlurmJob):
    """A job that no SLURM knows, whose folder is there."""

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.paths.folder.mkdir(parents=True)


def test_a_job_that_slurm_ended_is_told_and_a_mute_controller_ends_none(tmp_path, monkeypatch):
    job, watch = Waiting(tmp_path / "%j", "7_1"), cluster._Watch()
    monkeypatch.setattr(cluster, "EVERY", 0)
    monkeypatch.setattr(cluster, "LATE", 0)
    running = ("RUNNING", "None", "")
    for answer, counted in [
        ({"7_1": ("PENDING", "Resources", "")}, (0, 1, "Resources")),
        (None, None),
        ({"7_1": running, "7_2": running}, (1, 0, "")),
        ({"7_1": ("REQUEUED", "None", "")}, (1, 0, "")),
        (None, None),
    ]:
        monkeypatch.setattr(cluster, "_asked", lambda answer=answer: answer)
        assert watch.look() == (answer is not None)
        if counted:
            assert watch.counted([job]) == counted
        job.paths.result_pickle.write_bytes(b"")  # an error's, as it was stopped; it comes again
        assert not watch.over(job)
        job.paths.result_pickle.unlink()
    job.paths.stderr.write_text("slurmstepd: error: *** JOB 7 CANCELLED ***\n")
    monkeypatch.setattr(cluster, "_asked", lambda: {"7_1": ("CANCELLED", "None", "")})
    watch.look()
    assert watch.counted([job]) == (0, 0, "")
    assert watch.over(job)
    why = watch.lost(job)
    assert "Its job 7_1 ended as CANCELLED without a result" in why.message
    assert "JOB 7 CANCELLED" in why.message
    assert not why.mendable
    monkeypatch.setattr(cluster, "LATE", 60)  # its result may be on its way
    assert not watch.over(job)
    job.paths.result_pickle.write_bytes(b"")
    assert watch.over(job)
    assert watch.lost(job) is None


def test_a_job_that_slurm_has_forgotten_has_ended(tmp_path, monkeypatch):
    job, watch = Waiting(tmp_path / "%j", "9"), cluster._Watch()
    monkeypatch.setattr(cluster, "LATE", 0)
    monkeypatch.setattr(cluster, "_asked", dict)
    assert watch.look()
    watch.counted([job])
    assert watch.over(job)
    assert "Its job 9 ended without a result" in watch.lost(job).message


def test_jobs_that_are_queued_are_known_again(tmp_path, monkeypatch):
    store, wanted = Store(tmp_path), [*specs([0, 1, 2]), *examinations_of(specs([0]))]
    name = cluster._noted([Computation(spec, "") for spec in wanted], store)
    listed = {
        "5_0": ("COMPLETED", "None", name),
        "5_1": ("PENDING", "Priority", name),
        "5_3": ("RUNNING", "None", name),
        "6_2": ("RUNNING", "None", "sparseattn-0123456789abcdef"),  # of another store
        "8": ("RUNNING", "None", "../../somebody"),
        "5_9": ("RUNNING", "None", name),
    }
    monkeypatch.setattr(cluster, "_asked", lambda: listed)
    found = cluster.queued(wanted, store)
    assert {spec: job.job_id for spec, job in found.items()} == {wanted[1]: "5_1", wanted[3]: "5_3"}
    assert cluster.queued(specs([7]), store) == {}
    monkeypatch.setattr(cluster, "_asked", lambda: None)
    assert cluster.queued(wanted, store) == {}


def test_a_machine_with_another_arithmetic_is_named(tmp_path):
    """Its result has another key, so what was asked for is not in the store."""
    store = Store(tmp_path)

    class Elsewhere(Waiting):
        def result(self):
            return store.compute(tiny.spec(seed=9), tiny.task()).key

    said = cluster._other(Elsewhere(tmp_path / "%j", "3_1"), store)
    assert f"made {store.runs()[0].key}, of device 'cpu'" in said


def test_a_store_that_jobs_cannot_name(tmp_path):
    with pytest.raises(UserError, match="SPARSEATTN_STORE"):
        submit(specs([0]), Store(tmp_path / "%j"), "local")


def test_no_cluster_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="Cannot submit to cluster 'slurm'"):
        submit(specs([0]), Store(tmp_path), "slurm")
