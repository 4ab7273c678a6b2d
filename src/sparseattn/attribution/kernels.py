"""What importance and influence share: chunks of work, and two halves at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn.errors import UserError, nearest
from sparseattn.models.batches import Batch
from sparseattn.models.classifier import Classifier, Output
from sparseattn.models.pretrained import MiniLM

Ids = Sequence[Int[Tensor, " _"]]
PerToken = Float[np.ndarray, "documents tokens"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# Bytes that one chunk of work may hold. On a CPU with 32 MB of cache 2²⁴ and 2²⁵ measured fastest,
# for passes through the network as for influence; 2²² took up to twice as long, 2²⁸ a tenth longer.
# A GPU wants large chunks.
MEMORY = 2**25
MEMORY_GPU = 2**30


def check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    """Raise a `UserError` unless `given` is one of the `known` values of parameter `name`."""
    if given not in known:
        raise UserError(
            f"'{name}' was '{given}'; expected one of {', '.join(known)}.{nearest(given, known)}"
        )


def memory_bound(memory: int | None, device: torch.device) -> int:
    """Return the bytes a chunk may hold: the caller's, or the default for the device."""
    if memory is not None:
        return memory
    return MEMORY if device.type == "cpu" else MEMORY_GPU


def chunks(ids: Ids, bytes_each: Callable[[int], int], memory: int) -> Iterator[list[int]]:
    """Yield the indices of documents with a token in chunks, longest documents first.

    `bytes_each` says how many bytes a document of so many tokens, markers included, needs; a chunk
    may need `memory` bytes, and a single document exceed it.
    """
    order = sorted((d for d in range(len(ids)) if len(ids[d]) > 2), key=lambda d: -len(ids[d]))
    start = 0
    while start < len(order):
        count = max(1, memory // bytes_each(len(ids[order[start]])))
        yield order[start : start + count]
        start += count


def passing_bytes(classifier: Classifier, time: int) -> int:
    """Return the bytes that a document's pass through the whole network takes, with a way back."""
    size = classifier.settings.embedding_size + 24 * classifier.settings.hidden_size
    width = size * classifier.embedding.weight.element_size()
    if isinstance(classifier.encoder, MiniLM):  # more layers and heads, and pieces for words
        return 10 * time * (width + 64 * time)
    # A Transformer holds two layers' (time, time) weights as well, some of them several times.
    return time * (width + 64 * time)


def at_once(classifier: Classifier, time: int, memory: int) -> int:
    """Return how many texts of so many tokens, markers included, may pass together."""
    return max(1, memory // passing_bytes(classifier, time))


def passes(
    classifier: Classifier, texts: Int[Tensor, "texts time"], memory: int
) -> Iterator[Output]:
    """Run texts of one length, markers included, through the whole network, many at a time."""
    for some in torch.split(texts, at_once(classifier, texts.shape[1], memory)):
        lengths = torch.full((len(some),), some.shape[1], device=some.device)
        yield classifier(Batch(some, lengths))


def directions(hidden: Tensor) -> Tensor:
    """Return h_p/‖h_p‖, the gradient of ‖h_p‖; zero where h_p is."""
    norms = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    return torch.where(norms > 0, hidden / norms, 0)


def masked_logits(
    classifier: Classifier,
    scores: Float[Tensor, "batch rows n"],
    values: Float[Tensor, "batch rows n"],
    tokens: Tensor,
) -> Float[Tensor, "batch variants"]:
    """Return (batch, 1 + n) logits: row 0 attends to all tokens, row i to all but the i-th.

    `scores` and `values` w·h are (batch, 1 + n or 1, n): what each row sees of each token;
    `tokens` (batch, n) is false on padding.
    """
    count = tokens.shape[-1]
    keep = ~torch.eye(count + 1, dtype=torch.bool, device=tokens.device)[:, 1:]
    mask = tokens[:, None] & keep
    weights = classifier.projection(scores.expand(mask.shape), mask)
    # Row sums, not a matrix product: equal rows then give equal logits to the last bit.
    return (weights * values).sum(dim=-1) + classifier.decoder.bias


class Halves:
    """Does two pieces of work without gradients: in turn, or one of them in another thread.

    ``at_once`` pieces are worked on at a time: so many share the memory.
    """

    def __init__(self, pool: ThreadPoolExecutor | None = None) -> None:
        self.pool, self.at_once = pool, 1 if pool is None else 2

    def __call__(
        self, work: Callable[[Piece], Result], one: Piece, other: Piece
    ) -> tuple[Result, Result]:
        """Return ``work(one)`` and ``work(other)``, neither of which may depend on the other."""
        work = torch.no_grad()(work)  # gradient mode is each thread's own
        if self.pool is None:
            return work(one), work(other)
        elsewhere = self.pool.submit(work, other)
        return work(one), elsewhere.result()


@contextmanager
def halves(device: torch.device, divide: bool = True) -> Iterator[Halves]:
    """Provide a way to do two pieces of work, such as a BiLSTM's directions, side by side.

    On a GPU, which queues its work anyway, with one torch thread (as runs are made) or without
    `divide` the pieces are taken in turn. Else torch has half of its threads here, half beside.

    Notes
    -----
    A step of a recurrence is too small to be cut in two: at n = 180 two threads inside each matrix
    product gain a fifth, one thread for each direction nearly halves the time. Torch's operations
    release Python's lock, so these are plain threads. Torch keeps denormal flushing and the number
    of threads for each thread: the new one is given the caller's.

    Enter it once for all documents. After each operation on several threads OpenMP's own wait
    actively for the next one, some milliseconds long, on the core that the other half needs.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or not divide:
        yield Halves()
        return
    share, flushed = threads // 2, flushes_denormals()

    def begin() -> None:
        torch.set_num_threads(share)  # oneDNN asks OpenMP, which knows a number for each thread
        torch.set_flush_denormal(flushed)

    torch.set_num_threads(share)
    try:
        with ThreadPoolExecutor(1, initializer=begin) as pool:
            yield Halves(pool)
    finally:
        torch.set_num_threads(threads)


def flushes_denormals() -> bool:
    """Return whether this thread's tiny numbers become zero, see `torch.set_flush_denormal`."""
    return float(torch.tensor(1e-38) * 1e-3) == 0
