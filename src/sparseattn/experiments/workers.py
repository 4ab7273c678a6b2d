"""Computing runs one by one here, or in parallel processes."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

import sparseattn
from sparseattn.data.tasks import Task
from sparseattn.errors import UserError
from sparseattn.experiments.progress import Progress
from sparseattn.experiments.store import Kept, Storage, Wanted

# Each process computes with one thread (see `experiments.observation.reproducible`).
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}

# malloc.h of the GNU C library; see mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Failure:
    """A run that could not be computed, why, and whether the user can mend that."""

    spec: Any
    message: str
    mendable: bool


AnyStorage = Storage[Any, Any]
Outcome = tuple[Any, Any]  # a spec; what is kept of it, or a Failure


def one_by_one(
    specs: list[Any], tasks: dict[Any, Task], store: AnyStorage, jobs: int, shown: Progress
) -> Generator[Outcome]:
    """Compute runs in this process, yielding each as it ends; see `in_processes`."""
    _keep_freed_memory()
    for spec in specs:
        try:
            yield spec, store.compute(spec, tasks[spec], _epochs(shown.epoch, spec))
        except Exception as error:
            yield spec, Failure(spec, *_explained(error))


def in_processes(
    specs: list[Any], tasks: dict[Any, Task], store: AnyStorage, jobs: int, shown: Progress
) -> Generator[Outcome]:
    """Compute runs in parallel processes, yielding each as it ends.

    One process a run: each starts alike, and the death of one is the loss of one.

    Parameters
    ----------
    specs
        Runs to compute.
    tasks
        The task of each.
    store
        Where they are kept.
    jobs
        Processes at once.
    shown
        Is told of each epoch.

    Yields
    ------
    tuple
        A spec, and its run or failure. When closed, running processes are killed.
    """
    start = context()
    packed: dict[int, bytes] = {}
    waiting = list(reversed(specs))
    running: dict[Connection[Any, Any], tuple[Wanted, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                spec = waiting.pop()
                task = tasks[spec]
                if id(task) not in packed:
                    packed[id(task)] = _pack(task)
                receiver, sender = start.Pipe(duplex=False)
                arguments = (packed[id(task)], spec.model_dump_json(), store, sender)
                process = start.Process(target=_work, args=arguments, daemon=True)
                with _environment():
                    process.start()
                sender.close()
                running[receiver] = spec, process
            ready = wait(list(running))
            for receiver, (spec, process) in list(running.items()):
                if receiver not in ready:
                    continue
                message = _received(receiver)
                if isinstance(message, tuple):
                    shown.epoch(spec, *message)
                    continue
                process.join()
                del running[receiver]
                receiver.close()
                yield spec, message or _outcome(spec, tasks[spec], store, process.exitcode)
    finally:
        for _, process in running.values():
            process.kill()
        for receiver, (_, process) in running.items():
            process.join()
            receiver.close()


def _work(content: bytes, spec: str, store: AnyStorage, sender: "Connection[Any, Any]") -> None:
    """Compute one run, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _keep_freed_memory()
    wanted = store.parse(spec)

    def tell(number: int, of: int) -> None:
        sender.send((number, of))

    try:
        store.compute(wanted, pickle.loads(content), lambda number, of, row: tell(number, of))
    except Exception as error:
        sender.send(Failure(wanted, *_explained(error)))


def _keep_freed_memory() -> None:
    """Have this process keep the memory that it frees, where it has the GNU C library.

    Handing large tensors back to the system and fetching them anew costs up to two thirds of the
    time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or none to ask
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, 64 * 2**20)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _received(receiver: "Connection[Any, Any]") -> "tuple[int, int] | Failure | None":
    """Return an epoch and their number, a failure, or None at the end of the process."""
    try:
        message: tuple[int, int] | Failure = receiver.recv()
        return message
    except (EOFError, OSError):
        return None


def _outcome(
    spec: Wanted, task: Task, store: AnyStorage, exitcode: int | None
) -> Kept[Any] | Failure:
    if run := store.find(spec, task):
        return run
    cause = f"its process ended with code {exitcode}"
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        cause = f"its process was ended by {name}"
        if name == "SIGKILL":
            cause += "; perhaps there was not enough memory: try fewer jobs"
    return Failure(spec, cause, mendable=False)


def _explained(error: Exception) -> tuple[str, bool]:
    if isinstance(error, UserError):
        return str(error), True
    return "".join(traceback.format_exception(error)).strip(), False


def _epochs(tell: Callable[[Any, int, int], None], spec: Wanted) -> Callable[..., None]:
    return lambda number, of, row: tell(spec, number, of)


def context() -> Any:
    """Return how processes are started: forked from a small server that has torch imported.

    Forking this process itself is unsafe once it has used CUDA or several threads, and starting
    afresh costs torch's import each time.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forked = multiprocessing.get_context("forkserver")
    # The optimiser imports torch._dynamo when first used: 1.6 s in each process otherwise.
    forked.set_forkserver_preload(["torch._dynamo", "sparseattn.experiments.runs"])
    return forked


@contextmanager
def _environment() -> Iterator[None]:
    """Set the environment for processes started meanwhile."""
    source = str(Path(sparseattn.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    values = {**ENVIRONMENT, "PYTHONPATH": path}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Pickler(pickle.Pickler):
    """Pickles tensors as arrays: torch's own way takes a millisecond for each document."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def _pack(task: Task) -> bytes:
    buffer = BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(task)
    return buffer.getvalue()
