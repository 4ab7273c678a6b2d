"""How long the costly parts take, against what one would use instead, in one run.

``make bench``, or ``python -m sparseattn.bench [--quick] [--threads N]``: a table of ratios, of
distances to the floor, and of growth; the same numbers in ``_build/bench.json``.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import paths
from .comparisons import (
    Comparison,
    classifier_of,
    compare_influence,
    compare_kendall,
    compare_leave_one_out,
    compare_training,
    difference,
    document,
    take_turns,
)
from .deletion import logits_without_each
from .influence import influence
from .kernels import product
from .model import Classifier
from .runs import Store

TOKENS = 180  # about the mean of IMDb
SIZES = (20, 50, 100, 180, 300, 500)
COUNTS = (1, 2, 4, 8, 16)

WORK: dict[str, Callable[[Classifier, list[Tensor]], Any]] = {
    "leave-one-out": logits_without_each,
    "influence": influence,
}


def comparisons(repetitions: int, quick: bool) -> Iterable[Comparison]:
    """Yield all comparisons, each as soon as it is measured."""
    ids = document(TOKENS)
    bilstm, transformer = classifier_of("bilstm"), classifier_of("transformer")
    yield from compare_leave_one_out(bilstm, ids, repetitions)
    yield from compare_influence(bilstm, ids, repetitions, whole=4 if quick else 12)
    yield from compare_influence(transformer, ids, repetitions)
    yield from compare_leave_one_out(transformer, ids, min(repetitions, 3), captum=False)
    yield from compare_kendall(500 if quick else 2000, TOKENS, repetitions)
    yield from compare_training(*((96, 100, 1) if quick else (256, 200, 3)))


def operations(classifier: Classifier, tokens: int) -> dict[str, int]:
    """Return the floating-point operations in the matrix products of one document, BiLSTM.

    With H units a direction, E inputs, n tokens and both directions: leaving out takes n(n + 1)
    steps of the recurrence, 8H² each, and as many halves of a score, 2H² each; influence takes
    n(n + 1) rows through weights that are 2H × (H + E), 4H(H + E) each.
    """
    units, inputs = classifier.settings.hidden_size, classifier.settings.embedding_size
    pairs = tokens * (tokens + 1)
    return {
        "leave-one-out": pairs * 10 * units**2,
        "influence": pairs * 4 * units * (units + inputs),
    }


def floors(repetitions: int) -> list[dict[str, Any]]:
    """Time our work beside square matrix products; the floor is theirs for as many operations."""
    classifier, ids = classifier_of("bilstm"), document(TOKENS)
    left, right = torch.randn(2, 1024, 1024)
    functions: dict[str, Callable[[], Any]] = {
        "torch": lambda: torch.mm(left, right),
        "onednn": lambda: product(left, right),
        **{name: partial(work, classifier, [ids]) for name, work in WORK.items()},
    }
    difference(functions["onednn"](), functions["torch"]())
    for name in WORK:
        functions[name]()
    times = take_turns(functions, 2 * repetitions + 1)
    return [
        {
            "what": what,
            "gigaflop": count / 1e9,
            "seconds": times[what],
            **{f"floor_{name}": count * times[name] / 2 / 1024**3 for name in ("torch", "onednn")},
        }
        for what, count in operations(classifier, TOKENS).items()
    ]


def scaling(encoder: str, sizes: Sequence[int], counts: Sequence[int]) -> list[dict[str, Any]]:
    """Time our work against the number of tokens, and against the number of documents."""
    classifier = classifier_of(encoder)
    series = [("tokens", n, 1) for n in sizes] + [("documents", 50, count) for count in counts]
    rows = []
    for what, work in WORK.items():
        for along, tokens, count in series:
            ids = [document(tokens, seed) for seed in range(count)]
            work(classifier, ids)
            once = {"seconds": partial(work, classifier, ids)}
            times = take_turns(once, 1 if tokens > 200 else 3)
            rows.append(
                {"what": what, "encoder": encoder, "along": along}
                | {"tokens": tokens, "documents": count, **times}
            )
    return rows


def growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit seconds ∝ size^k to each series of `scaling`, over the sizes that are not small.

    Below 50 tokens a document costs calls, not arithmetic.
    """
    found = []
    for key in dict.fromkeys((row["what"], row["encoder"], row["along"]) for row in rows):
        some = [row for row in rows if (row["what"], row["encoder"], row["along"]) == key]
        some = [row for row in some if row["tokens"] >= 50]
        sizes, seconds = [row[key[2]] for row in some], [row["seconds"] for row in some]
        fitted = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        found.append({"what": key[0], "encoder": key[1], "along": key[2], "exponent": fitted})
    return found


def grid_hours(processes: int = 2) -> dict[str, Any] | None:
    """Estimate the paper's complete grid from the runs in the local store.

    3 tasks × 2 encoders × 2 alignments × 9 projections, one seed, as many documents observed as
    in the runs it is estimated from (those that observed 300); None while a task or encoder of the
    grid has no run yet.
    """
    ledger = Store(paths.store()).ledger()
    ledger = ledger[(ledger["state"] == "current") & (ledger["observed"] == 300)]
    stages = ledger[["train", "evaluate", "importance", "influence"]].astype(float).sum(axis=1)
    means = stages.groupby([ledger["task"], ledger["encoder"]]).mean()
    tasks, encoders = ("sst", "newsgroups", "imdb"), ("bilstm", "transformer")
    cells = [(task, encoder) for task in tasks for encoder in encoders]
    if not all(cell in means.index for cell in cells):
        return None
    seconds = {f"{task} {encoder}": float(means[task, encoder]) for task, encoder in cells}
    return {"hours": sum(seconds.values()) * 2 * 9 / processes / 3600, "seconds_a_run": seconds}


def machine() -> dict[str, Any]:
    """Name the machine."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def main(quick: bool = False, threads: int = 1) -> dict[str, Any]:
    """Run the benchmark, print it, and write ``_build/bench.json``.

    Parameters
    ----------
    quick
        Fewer repetitions and sizes: about a minute instead of several.
    threads
        Torch threads; one is how runs are computed. More than there are idle cores would have all
        parties wait for each other.

    Returns
    -------
    dict
        What was written: the ratios by their keys, ``comparisons``, ``floors``, ``scaling``,
        ``growth``, ``grid`` and ``machine``.

    Raises
    ------
    AssertionError
        When a peer gives other numbers than ours.
    """
    torch.set_flush_denormal(True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        report = _measure(quick)
    finally:
        torch.set_num_threads(before)
    path = paths.root() / "_build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    print(f"\nWritten to {path}.")
    return report


def _measure(quick: bool) -> dict[str, Any]:
    start, repetitions = time.perf_counter(), 2 if quick else 5
    named = machine()
    print(", ".join(f"{name} {value}" for name, value in named.items()), flush=True)
    print(f"\n{'ours':>9} {'peer':>9} {'faster':>8} {'differ':>8}  (seconds; medians in turns)")
    rows = []
    for row in comparisons(repetitions, quick):
        rows.append(row)
        differ = "another" if np.isnan(row.difference) else f"{row.difference:.0e}"
        print(
            f"{row.ours:9.4f} {row.peer:9.4f} {row.ratio:7.1f}× {differ:>8}  "
            f"{row.what}: {row.against}",
            flush=True,
        )
    print("\nDistance to the floor: as many operations in plain matrix products")
    lowest = floors(repetitions)
    for one in lowest:
        print(
            f"{one['seconds']:9.4f} s  {one['what']}: {one['gigaflop']:.1f} GFLOP, "
            f"{one['seconds'] / one['floor_torch']:.1f} times torch.mm's "
            f"{one['floor_torch']:.4f} s, {one['seconds'] / one['floor_onednn']:.1f} times "
            f"oneDNN's {one['floor_onednn']:.4f} s",
            flush=True,
        )
    print("\nGrowth")
    series = []
    for encoder in ("bilstm",) if quick else ("bilstm", "transformer"):
        series += scaling(encoder, SIZES[:4] if quick else SIZES, COUNTS[:3] if quick else COUNTS)
    exponents = growth(series)
    for one in exponents:
        points = "  ".join(
            f"{row[one['along']]}: {row['seconds']:.3f}"
            for row in series
            if all(row[name] == one[name] for name in ("what", "encoder", "along"))
        )
        print(
            f"  {one['what']}, {one['encoder']}: {one['along']}^{one['exponent']:.1f}  {points} s"
        )
    grid = grid_hours()
    if grid is None:
        print("\nThe paper's grid: no estimate until each task and encoder has a run here.")
    else:
        print(f"\nThe paper's grid, 108 runs, two processes: {grid['hours']:.1f} hours")
    print(f"Measured in {time.perf_counter() - start:.0f} s")
    return {
        **{row.key: round(row.ratio, 2) for row in rows},
        "comparisons": [row.record() for row in rows],
        "floors": lowest,
        "scaling": series,
        "growth": exponents,
        "grid": grid,
        "machine": named,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")
    given = parser.parse_args()
    main(given.quick, given.threads)
