"""How time and memory grow with tokens and documents, ours and what one would use instead."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.influence import influence
from sparseattn.bench import peers
from sparseattn.bench.comparisons import classifier_of, document, take_turns
from sparseattn.models.classifier import Classifier

SIZES = (20, 50, 100, 180, 300, 500)
COUNTS = (1, 2, 4, 8)
LONG = 250  # tokens from which one repetition is enough

Work = Callable[[Classifier, Sequence[Tensor]], Any]
Rows = list[dict[str, Any]]


def _each(peer: Callable[..., Any], *options: Any) -> Work:
    return lambda classifier, ids: [peer(classifier, one, *options) for one in ids]


WORK: dict[str, dict[str, Work]] = {
    "leave-one-out": {
        "ours": logits_without_each,
        "a pass a token": _each(peers.leave_out_in_batches, 1),
        "batches of 16": _each(peers.leave_out_in_batches, 16),
    },
    "influence": {"ours": influence, "a backward pass a position": _each(peers.influence_by_loop)},
}
"""What is done, and by which ways; 16 a batch is among the best sizes at 180 tokens."""


def scaling(encoder: str, sizes: Sequence[int], counts: Sequence[int]) -> Rows:
    """Time each way against the tokens of one document, and against documents of 50 tokens each.

    Returns ``what`` and ``by`` (keys of `WORK`), ``encoder``, ``along`` (``tokens`` or
    ``documents``), ``tokens``, ``documents``, and the median ``seconds``.
    """
    classifier = classifier_of(encoder)
    series = [("tokens", n, 1) for n in sizes] + [("documents", 50, count) for count in counts]
    rows = []
    for what, ways in WORK.items():
        for along, tokens, count in series:
            ids = [document(tokens, seed) for seed in range(count)]
            functions = {by: partial(work, classifier, ids) for by, work in ways.items()}
            functions["ours"]()  # whose first call, at a new size, compiles a kernel for each step
            times = take_turns(functions, 3 if tokens < LONG else 1)
            rows += [
                {"what": what, "encoder": encoder, "along": along, "by": by}
                | {"tokens": tokens, "documents": count, "seconds": seconds}
                for by, seconds in times.items()
            ]
    return rows


def growth(rows: Rows) -> Rows:
    r"""Fit seconds ∝ size^k to each series of `scaling`, over the sizes that are not small.

    Returns ``what``, ``encoder``, ``along``, ``by``, and k as ``exponent``: the least-squares slope
    of log seconds on log size. Below 50 tokens a document costs calls, not arithmetic.
    """
    names = ["what", "encoder", "along", "by"]
    some = pd.DataFrame(rows).query("tokens >= 50")
    found = []
    for key, series in some.groupby(names, sort=False):
        sizes, seconds = np.log(series[[key[2], "seconds"]].to_numpy(dtype=np.float64)).T
        slope = float(np.polyfit(sizes, seconds, 1)[0])
        found.append({**dict(zip(names, key, strict=True)), "exponent": slope})
    return found


def memory(encoder: str, tokens: int) -> Rows:
    """Return the most ``megabytes`` our ways hold beside the classifier, on one document."""
    classifier, ids = classifier_of(encoder), [document(tokens)]
    return [
        {"what": what, "encoder": encoder, "tokens": tokens}
        | {"megabytes": peak_bytes(partial(ways["ours"], classifier, ids)) / 1e6}
        for what, ways in WORK.items()
    ]


def peak_bytes(function: Callable[[], Any]) -> int:
    """Return the most bytes that a function's tensors on the CPU took at any time."""
    with _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    result = profiler.profiler
    assert result is not None
    assert result.kineto_results is not None
    events = [one for one in result.kineto_results.events() if one.name() == "[memory]"]
    changes = [one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())]
    return max([0, *np.cumsum(changes).tolist()])


@contextmanager
def _silent() -> Iterator[None]:
    """Keep libraries from writing to the terminal: torch's profiler announces itself there."""
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(nowhere)
        os.close(terminal)
