"""Two halves of a document's work at once, such as the two directions of a BiLSTM."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

First = TypeVar("First")
Result = TypeVar("Result")


def halves(
    work: Callable[[First], Result], one: First, other: First, device: torch.device
) -> tuple[Result, Result]:
    """Do two pieces of work without gradients, side by side where torch has threads for it.

    Parameters
    ----------
    work
        Applied to each piece; must not depend on what it does to the other.
    one, other
        The pieces.
    device
        Where the tensors are. Only a CPU's work is divided: a GPU queues it anyway.

    Returns
    -------
    tuple
        Both results.

    Notes
    -----
    A step of a recurrence is too small to be cut in two: at n = 180 two threads inside each matrix
    product gain a fifth, one thread for each direction nearly halves the time. Torch's operations
    release Python's lock, so these are plain threads, each with half of torch's own. Torch keeps
    gradient mode, denormal flushing and its number of threads for each thread: the new one is
    given the caller's. With one torch thread, as runs are made, nothing is divided.
    """
    flushed = flushes_denormals()

    def alone(piece: First) -> Result:
        torch.set_flush_denormal(flushed)
        with torch.no_grad():
            return work(piece)

    if at_once(device) == 1:
        return alone(one), alone(other)
    threads = torch.get_num_threads()
    share = threads // 2
    torch.set_num_threads(share)
    try:
        # Set in the new thread too: oneDNN asks OpenMP, which knows a number for each thread.
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            elsewhere = pool.submit(alone, other)
            return alone(one), elsewhere.result()
    finally:
        torch.set_num_threads(threads)


def at_once(device: torch.device) -> int:
    """Return how many pieces `halves` works on at a time, 1 or 2: so many share the memory."""
    return 2 if device.type == "cpu" and torch.get_num_threads() > 1 else 1


def flushes_denormals() -> bool:
    """Return whether this thread's tiny numbers become zero, see `torch.set_flush_denormal`."""
    return float(torch.tensor(1e-38) * 1e-3) == 0
