"""Many runs, or what rests on them, computed one by one here or in parallel processes."""

import multiprocessing
import os
import re
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar

import torch
from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import ExplainedError, UserError
from sparseattn.experiments import machine
from sparseattn.experiments.progress import Progress
from sparseattn.experiments.runs import Result
from sparseattn.experiments.specs import KINDS, AnySpec, canonical
from sparseattn.experiments.store import Store
from sparseattn.models.training import Progress as Tell
from sparseattn.models.training import resolve_device


class SweepError(ExplainedError):
    """Some runs of a sweep failed; the others are in the store."""


class Interrupted(KeyboardInterrupt):
    """A sweep was interrupted; its message says what is done."""


@dataclass(frozen=True)
class Failure:
    """Why a run could not be computed, and whether the user can mend that."""

    message: str
    mendable: bool


Outcomes: TypeAlias = Generator[tuple[AnySpec, Failure | None]]
SpecT = TypeVar("SpecT", bound=AnySpec)
Compute: TypeAlias = Callable[
    [Sequence[AnySpec], Mapping[Any, Task], Store, Any, Progress],  # Any: jobs, or None
    Outcomes,
]


def ensure(
    specs: Iterable[Any],
    store: Store,
    jobs: int | None = None,
    progress: bool = True,
    guess: Callable[[AnySpec], float] | None = None,
    compute: Compute | None = None,
) -> list[Any]:
    """Return the runs, adversaries or examinations of specs, in their order; compute what lacks.

    Parameters
    ----------
    jobs
        Processes at once, one torch thread each; by default one a core. With 1, or a single run
        to compute, this process does it. The results do not depend on it.
    progress
        Whether to show how far it is.
    guess
        The seconds that a run may take, for the time left until one like it is done.
    compute
        What computes instead, such as `experiments.cluster.Cluster`, which `jobs` is left to.

    Raises
    ------
    UserError, SweepError
        When runs failed, naming them; all others are computed and stored first. The former when
        every cause is one the user can mend.
    Interrupted
        On Ctrl-C or SIGTERM: running processes are ended at once; finished runs are kept.
    """
    specs = list(specs)
    tasks = _tasks(specs)
    found = {spec: store.find(spec, tasks[spec]) for spec in specs}
    wanted = [spec for spec, result in found.items() if result is None]
    if wanted:
        if compute is None:
            jobs = min(_default_jobs(wanted) if jobs is None else jobs, len(wanted))
        here: Compute = _one_by_one if jobs == 1 else _in_processes
        earlier: list[Result] = [one for kind in KINDS for one in store.results(kind)]
        shown = Progress(wanted, min(jobs or len(wanted), len(wanted)), earlier, progress, guess)
        failures: dict[AnySpec, Failure] = {}
        try:
            computing = (compute or here)(wanted, tasks, store, jobs, shown)
            with _terminable(), closing(computing) as outcomes:
                for spec, failure in outcomes:
                    found[spec] = result = store.find(spec, tasks[spec])
                    if failure and result is None:
                        failures[spec] = failure
                    shown.finish(spec, result.seconds if result else None)
        except KeyboardInterrupt:
            done = sum(store.find(spec, tasks[spec]) is not None for spec in found)
            raise Interrupted(
                f"Interrupted: {done} of {len(found)} runs are done and kept. "
                "The same command computes the others."
            ) from None
        finally:
            shown.close()
        if failures:
            raise _failed(failures, len(found))
    return [found[spec] for spec in specs]


def missing(specs: Iterable[SpecT], store: Store) -> list[SpecT]:
    """Return those specs whose result the store does not hold, each once."""
    once: list[Any] = list(dict.fromkeys(specs))
    tasks = _tasks(once)
    return [spec for spec in once if store.find(spec, tasks[spec]) is None]


def _one_by_one(
    specs: Sequence[AnySpec], tasks: Mapping[Any, Task], store: Store, jobs: int, shown: Progress
) -> Outcomes:
    """Compute runs in this process, yielding each as it ends, and why it failed."""
    for spec in specs:

        def tell(number: int, of: int, row: object, spec: AnySpec = spec) -> None:
            shown.epoch(spec, f"{number}/{of}")

        yield spec, _failure(spec, tasks[spec], store, tell)


def _in_processes(
    specs: Sequence[AnySpec], tasks: Mapping[Any, Task], store: Store, jobs: int, shown: Progress
) -> Outcomes:
    """Compute runs in parallel processes, yielding each as it ends, and why it failed.

    When closed, the processes are killed. Each is a pool of its own, for with one of its processes
    a pool loses all its runs.
    """
    waiting, pools = list(reversed(specs)), [_pool() for _ in range(jobs)]
    free = list(pools)
    running: dict[Future[Failure | None], tuple[AnySpec, ProcessPoolExecutor, Path]] = {}
    with TemporaryDirectory() as notes, warnings.catch_warnings():
        # Expected: a process that has grown, as it keeps what it frees, is replaced.
        warnings.filterwarnings("ignore", message="A worker was restarted")
        try:
            while waiting or running:
                while waiting and free:
                    spec, pool, note = waiting.pop(), free.pop(), Path(notes, str(len(waiting)))
                    with _interrupts_held():
                        job = pool.submit(_work, spec, tasks[spec], store.root, note)
                    running[job] = spec, pool, note
                for job in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    spec, pool, _ = running.pop(job)
                    try:
                        failure = job.result()
                    except BrokenProcessPool as error:
                        failure = Failure(_death(error), mendable=False)
                        pools.append(pool := _pool())
                    free.append(pool)
                    yield spec, failure
                for spec, _, note in running.values():
                    if note.is_file():
                        shown.epoch(spec, note.read_text())
        finally:
            for pool in pools:  # killed, it leaves semaphores behind, of which Python complains
                pool.shutdown(kill_workers=bool(running))


def _pool() -> ProcessPoolExecutor:
    """Return a pool of one process, forked from a small server that has torch imported.

    Forking this process itself is unsafe once it has used CUDA or several threads; starting afresh
    costs 5 s of imports each time, those of the optimiser (`torch._dynamo`) among them.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch._dynamo", "sparseattn.experiments.store"])
    return ProcessPoolExecutor(
        1,
        context=server,
        # Torch's own way to pickle a tensor takes a millisecond for each document.
        job_reducers={torch.Tensor: _as_array},
        initializer=_begin,
    )


def _as_array(tensor: torch.Tensor) -> tuple[Callable[..., torch.Tensor], tuple[object]]:
    return torch.from_numpy, (tensor.numpy(),)


def _begin() -> None:
    """Prepare a process: Ctrl-C is its parent's to handle, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(spec: AnySpec, task: Task, root: Path, note: Path) -> Failure | None:
    """Compute a run in a process of its own; which epoch it is in stands in a file."""

    def tell(number: int, of: int, row: object) -> None:
        with suppress(OSError):  # what is shown meanwhile is not worth a run
            note.write_text(f"{number}/{of}")

    return _failure(spec, task, Store(root), tell)


def _failure(spec: AnySpec, task: Task, store: Store, tell: Tell) -> Failure | None:
    """Compute a run and return why it failed, if it did."""
    try:
        store.compute(spec, task, tell)
    except UserError as error:
        return Failure(str(error), mendable=True)
    except Exception as error:
        return Failure("".join(traceback.format_exception(error)).strip(), mendable=False)
    return None


def _death(error: BrokenProcessPool) -> str:
    code = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    cause = f"its process ended with {code[1]}" if code else f"its process was lost: {error}"
    if "SIGKILL" in cause:
        cause += "; perhaps there was not enough memory: try fewer jobs"
    return cause


def _failed(failures: Mapping[AnySpec, Failure], total: int) -> UserError | SweepError:
    """Return the error that names the runs that failed, of so many, and why."""
    causes: dict[str, list[AnySpec]] = {}
    for spec, failure in failures.items():
        causes.setdefault(failure.message, []).append(spec)
    lines = [f"{len(failures)} of {total} runs failed; the others are in the store."]
    for cause, specs in causes.items():
        lines += [f"- {spec.base.task}: {spec.label}, seed {spec.seed}" for spec in specs]
        lines.append(f"  {cause}")
    kind = UserError if all(one.mendable for one in failures.values()) else SweepError
    return kind("\n".join(lines))


def _tasks(specs: Iterable[AnySpec]) -> dict[AnySpec, Task]:
    """Load each task once."""
    loaded: dict[str, Task] = {}
    tasks = {}
    for spec in specs:
        given = spec.base.task, spec.base.task_options
        name = canonical(given)
        if name not in loaded:
            loaded[name] = load_task(*given)
        tasks[spec] = loaded[name]
    return tasks


def _default_jobs(specs: Sequence[AnySpec]) -> int:
    # A GPU is shared by what its small kernels leave idle, not by its memory.
    gpu = any(resolve_device(spec.base.device).type == "cuda" for spec in specs)
    return min(machine.cores(), 4) if gpu else machine.cores()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that Ctrl-C in a terminal, which is sent to all, does not end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
