"""Two halves of a document's work at once, such as the two directions of a BiLSTM."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

First = TypeVar("First")
Result = TypeVar("Result")


class Halves:
    """Does two pieces of work, which have no gradients, one after the other.

    ``at_once`` pieces are worked on at a time: so many share the memory.
    """

    at_once = 1

    def __call__(
        self, work: Callable[[First], Result], one: First, other: First
    ) -> tuple[Result, Result]:
        """Return ``work(one)`` and ``work(other)``, neither of which may depend on the other."""
        with torch.no_grad():
            return work(one), work(other)


class SideBySide(Halves):
    """The same, one piece here and one in another thread."""

    at_once = 2

    def __init__(self, pool: ThreadPoolExecutor, flushed: bool) -> None:
        self.pool, self.flushed = pool, flushed

    def _alone(self, work: Callable[[First], Result], piece: First) -> Result:
        torch.set_flush_denormal(self.flushed)
        with torch.no_grad():
            return work(piece)

    def __call__(
        self, work: Callable[[First], Result], one: First, other: First
    ) -> tuple[Result, Result]:
        """Return both results; a failure of either is the caller's."""
        elsewhere = self.pool.submit(self._alone, work, other)
        return self._alone(work, one), elsewhere.result()


@contextmanager
def halves(device: torch.device, divide: bool = True) -> Iterator[Halves]:
    """Provide a way to do two pieces of work, side by side where torch has threads for it.

    Parameters
    ----------
    device
        Where the tensors are. Only a CPU's work is divided: a GPU queues it anyway.
    divide
        False leaves torch all its threads, and takes pieces in turn.

    Yields
    ------
    Halves
        Meanwhile torch has half of its threads here and half beside, where work is divided.

    Notes
    -----
    A step of a recurrence is too small to be cut in two: at n = 180 two threads inside each matrix
    product gain a fifth, one thread for each direction nearly halves the time. Torch's operations
    release Python's lock, so these are plain threads, each with half of torch's own. Torch keeps
    gradient mode, denormal flushing and its number of threads for each thread: the new one is
    given the caller's. With one torch thread, as runs are made, nothing is divided.

    Enter it once for all documents. After each operation on several threads OpenMP's own wait
    actively for the next one, some milliseconds long, on the core that the other half needs.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or not divide:
        yield Halves()
        return
    share = threads // 2
    torch.set_num_threads(share)
    try:
        # Set in the new thread too: oneDNN asks OpenMP, which knows a number for each thread.
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            yield SideBySide(pool, flushes_denormals())
    finally:
        torch.set_num_threads(threads)


def flushes_denormals() -> bool:
    """Return whether this thread's tiny numbers become zero, see `torch.set_flush_denormal`."""
    return float(torch.tensor(1e-38) * 1e-3) == 0
