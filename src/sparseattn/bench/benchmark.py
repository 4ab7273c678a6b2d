"""How long the costly parts take, against what one would use instead, in one run.

``make bench``, or ``sparseattn bench [--quick] [--threads N] [--publish]``: a table of ratios, of
distances to the floor, of growth and of memory; the same numbers in ``_build/bench.json``.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import torch

from sparseattn import paths
from sparseattn.attribution.kernels import flushes_denormals
from sparseattn.bench import goals
from sparseattn.bench.comparisons import (
    Comparison,
    classifier_of,
    compare_faithfulness,
    compare_influence,
    compare_integrated,
    compare_kendall,
    compare_leave_one_out,
    compare_paths,
    compare_shapley,
    compare_training,
    difference,
    document,
    take_turns,
)
from sparseattn.bench.scaling import COUNTS, SIZES, WORK, growth, memory, scaling
from sparseattn.experiments import machine
from sparseattn.models.classifier import Classifier
from sparseattn.models.products import product

RowT = TypeVar("RowT")
TOKENS = 180  # about the mean of IMDb
SHORT = 20  # about the mean of SST


def comparisons(repetitions: int, quick: bool) -> Iterable[Comparison]:
    """Yield all comparisons, each as soon as it is measured."""
    ids = document(TOKENS)
    bilstm, transformer = classifier_of("bilstm"), classifier_of("transformer")
    yield from compare_leave_one_out(bilstm, ids, repetitions)
    yield from compare_influence(bilstm, ids, repetitions, whole=4 if quick else 12)
    yield from compare_influence(transformer, ids, repetitions)
    yield from compare_leave_one_out(transformer, ids, min(repetitions, 3), captum=False)
    for classifier in (bilstm, transformer):
        yield from compare_paths(classifier, ids, min(repetitions, 3))
        yield from compare_faithfulness(classifier, document(SHORT), repetitions)
        yield from compare_integrated(classifier, ids, min(repetitions, 3))
        yield from compare_shapley(classifier, document(SHORT), min(repetitions, 3))
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
        **{name: partial(ways["ours"], classifier, [ids]) for name, ways in WORK.items()},
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


def main(quick: bool, threads: int | None, publish: bool) -> None:
    """Run the benchmark, print it, and write ``_build/bench.json``.

    Torch has one thread a core unless `threads` says otherwise: more than there are idle cores
    would have all parties wait. `quick` takes fewer repetitions and sizes; `publish` adds the
    measurement to ``book/results``. An AssertionError when a peer gives other numbers than ours.
    """
    before, flushed = torch.get_num_threads(), flushes_denormals()
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads or machine.cores())
    try:
        report = _measure(quick)
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(flushed)
    path = paths.root() / "_build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    print(f"\nWritten to {path}.")
    if publish:
        print(f"Published in {goals.add_report(report)}.")


def _measure(quick: bool) -> dict[str, Any]:
    start, repetitions = time.perf_counter(), 2 if quick else 5
    named = machine.measured_on()
    named |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    print(", ".join(f"{name} {value}" for name, value in named.items()), flush=True)
    heading = f"{'ours':>9} {'peer':>9} {'faster':>8} {'differ':>8}  (seconds; medians in turns)"
    compared = _printed(heading, comparisons(repetitions, quick), _comparison)
    heading = "Distance to the floor: as many operations in plain matrix products"
    lowest = _printed(heading, floors(repetitions), _floor)
    sizes, counts = (SIZES[:4], COUNTS[:3]) if quick else (SIZES, COUNTS)
    series = [
        row
        for encoder in (("bilstm",) if quick else ("bilstm", "transformer"))
        for row in scaling(encoder, sizes, counts)
    ]
    grown = _printed("Growth", growth(series), partial(_growth, series))
    longest = SIZES[0] if quick else SIZES[-1]
    held = _printed(
        f"Memory beside the classifier, one document of {longest} tokens",
        (row for encoder in ("bilstm", "transformer") for row in memory(encoder, longest)),
        lambda row: f"{row['megabytes']:9.1f} MB  {row['what']}, {row['encoder']}",
    )
    print(f"\n{goals.grid_in_words(goals.grid_cells(goals.timed_runs()))}")
    seconds = round(time.perf_counter() - start)
    print(f"Measured in {seconds} s")
    return {
        **{row.key: round(row.ratio, 2) for row in compared},
        "comparisons": [asdict(row) | {"ratio": row.ratio} for row in compared],
        "floors": lowest,
        "scaling": series,
        "growth": grown,
        "memory": held,
        "machine": {**named, "seconds": seconds},
    }


def _printed(heading: str, rows: Iterable[RowT], line: Callable[[RowT], str]) -> list[RowT]:
    """Print rows, each as soon as it is measured, and return them."""
    print(f"\n{heading}", flush=True)
    found = []
    for row in rows:
        print(line(row), flush=True)
        found.append(row)
    return found


def _comparison(row: Comparison) -> str:
    differ = "another" if row.difference is None else f"{row.difference:.0e}"
    times = f"{row.ours:9.4f} {row.peer:9.4f} {row.ratio:7.1f}× {differ:>8}"
    return f"{times}  {row.what}: {row.against}"


def _floor(row: dict[str, Any]) -> str:
    seconds, torchs, onednns = row["seconds"], row["floor_torch"], row["floor_onednn"]
    return (
        f"{seconds:9.4f} s  {row['what']}: {row['gigaflop']:.1f} GFLOP, {seconds / torchs:.1f} "
        f"times torch.mm's {torchs:.4f} s, {seconds / onednns:.1f} times oneDNN's {onednns:.4f} s"
    )


def _growth(series: list[dict[str, Any]], row: dict[str, Any]) -> str:
    points = "  ".join(
        f"{point[row['along']]}: {point['seconds']:.3f}"
        for point in series
        if all(point[name] == row[name] for name in ("what", "encoder", "along", "by"))
    )
    power = f"{row['along']}^{row['exponent']:.1f}"
    return f"  {row['what']}, {row['encoder']}, {row['by']}: {power}  {points} s"
