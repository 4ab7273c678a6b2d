"""What speed was to be reached, and what was: beside each peer, in a run, in the paper's grid.

``book/results/bench.json`` holds one report of `bench.benchmark.main` for each number of threads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sparseattn import paths
from sparseattn.errors import UserError
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import STAGES
from sparseattn.experiments.store import Store
from sparseattn.models.training import TrainingSettings, batches
from sparseattn.results import published
from sparseattn.results.frames import stored_ledger
from sparseattn.results.paper import TASKS
from sparseattn.results.publishing import merge, read_entries
from sparseattn.wording import label

FILE = "bench.json"

PEERS: dict[str, tuple[str, float | None]] = {
    "loo_vs_naive": ("LOO: pass a token", 10),
    "loo_vs_batched": ("LOO: batches", 4),
    "influence_vs_loop": ("Influence: loop", 5),
    "influence_vs_batched": ("Influence: copies", 5),
    "transformer_influence_vs_loop": ("Transformer influence: loop", 3),
    "paths_vs_loop": ("Paths of effects: loop", 5),
    "faithfulness_vs_loop": ("Faithfulness: pass a text", 5),
    "integrated_vs_captum": ("Integrated gradients: captum", None),
    "shapley_vs_captum": ("Shapley values: captum", None),
    "tau_vs_scipy": ("τ-b: scipy", 10),
    "train_vs_padded": ("Training: padded", None),
    "train_vs_packed": ("Training: packed", None),
}
"""The peers a chart shows: key → name, and how many times faster ours was to be, if ever said.

The goals were set before anything was measured.
"""
RUN_SECONDS = {"sst": 60.0, "newsgroups": 150.0}
"""The most that a run of a task should take, trained and observed."""
EXAMINATION = 1.0
"""The most that an examination should take, in runs: as long again as to train and observe."""
GRID_HOURS = 10.0
"""One night, for the paper's complete grid on two cores."""
ENCODERS = ("bilstm", "transformer")
CELL_RUNS = 2 * 9
"""Runs of a task and encoder in the paper's grid: alignments × projections, one seed."""
PROCESSES = 2
OBSERVED = 300
_LIST = "measurements"

Report = Mapping[str, Any]


def add_report(report: Report) -> Path:
    """Add a measurement, in the place of one with as many threads; return the file."""
    file = paths.results() / FILE
    merge(file, _LIST, [_rounded(report)], lambda known: int(known["machine"]["threads"]))
    return file


def reports() -> list[dict[str, Any]]:
    """Return the published measurements, fewest threads first; a UserError when there is none."""
    file = paths.results() / FILE
    if not (kept := read_entries(file, _LIST)):
        raise UserError(f"No speed is measured in {file}: 'sparseattn bench --publish' does.")
    return kept


def _rounded(value: Any) -> Any:
    """Keep four digits of each number in lists and dictionaries: a time is not known better."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def rows(measured: Sequence[Report], name: str) -> pd.DataFrame:
    """Return one list of all reports, such as ``scaling``, with ``threads`` and a ``setting``."""
    return pd.DataFrame(
        [
            {"threads": threads, "setting": _threads(threads), **row}
            for report in measured
            for threads in [report["machine"]["threads"]]
            for row in report[name]
        ]
    )


def comparisons(measured: Sequence[Report]) -> pd.DataFrame:
    """Return every comparison: what `rows` gives, and both sides in words as a ``pair``."""
    frame = rows(measured, "comparisons")
    pair = frame["what"] + ", against " + frame["against"]
    for encoder in ENCODERS:
        pair = pair.str.replace(encoder, label(encoder))
    return frame.assign(pair=pair)


def against_goals(measured: Sequence[Report]) -> pd.DataFrame:
    """Return the comparisons with `PEERS`, in their order, beside their goals.

    What `comparisons` gives, the ``peer`` by its name, the least ``goal``, and whether it is
    ``met``; both missing where nothing was set.
    """
    named = [(key, *peer) for key, peer in PEERS.items()]
    frame = pd.DataFrame(named, columns=["key", "peer", "goal"])
    frame = frame.merge(comparisons(measured).drop(columns="peer"), on="key")
    met = (frame["ratio"] >= frame["goal"]).astype(object).where(frame["goal"].notna(), None)
    return frame.assign(met=met)


def floors(measured: Sequence[Report]) -> pd.DataFrame:
    """Return the ``floors``, each with how many times it was reached, by oneDNN's and torch's."""
    frame = rows(measured, "floors")
    return frame.assign(
        distance=frame["seconds"] / frame["floor_onednn"],
        distance_torch=frame["seconds"] / frame["floor_torch"],
    )


def along(measured: Sequence[Report], size: str) -> pd.DataFrame:
    """Return the times against one size (``tokens`` or ``documents``), a ``panel`` for each work.

    They are those of the measurement with the fewest threads.
    """
    frame = rows(measured[:1], "scaling")
    frame = frame[frame["along"] == size]
    return frame.assign(panel=frame["what"].str.capitalize() + ", " + frame["encoder"].map(label))


def exponents(measured: Sequence[Report]) -> pd.DataFrame:
    """Return the fitted exponents, a column each for ``tokens`` and ``documents``."""
    frame = rows(measured[:1], "growth")
    index = ["what", "encoder", "by"]
    return frame.pivot_table(index=index, columns="along", values="exponent").reset_index()


def padding(lengths: Sequence[int], bucketed: bool) -> float:
    """Return the share of an epoch's batches that is padding, for texts of these lengths."""
    order = torch.Generator().manual_seed(0)
    some = batches(lengths, TrainingSettings().batch_size, order, bucketed=bucketed)
    return 1 - sum(lengths) / sum(len(batch) * max(lengths[i] for i in batch) for batch in some)


def padding_in_words(runs: Sequence[Run]) -> str:
    """Say how much of an epoch is padding, for lengths like those observed: one run a task."""
    parts = []
    for task, run in {run.spec.task: run for run in runs}.items():
        drawn = run.measurements()["length"].sample(8000, replace=True, random_state=0).tolist()
        plain, bucketed = padding(drawn, False), padding(drawn, True)
        parts.append(f"{label(task)} {plain:.0%} as they come, {bucketed:.1%} bucketed")
    if not parts:
        return "No task is published yet whose lengths could be shown."
    size = TrainingSettings().batch_size
    return (
        f"The share of an epoch that is padding, in batches of {size}, for 8,000 documents of "
        f"lengths drawn from those observed: {'; '.join(parts)}."
    )


def timed_runs(store: bool = True) -> pd.DataFrame:
    """Return the runs whose times count, each once: the published ones, and those of the store.

    `store` false leaves those of the store out: the published ones are the same everywhere. Only
    the current runs of the paper's tasks and encoders that were computed on a CPU and observed on
    `OBSERVED` documents: ``key``, ``task``, ``encoder``, the wall seconds of each stage, and
    ``seconds``, of all: the processor's (``cpu_seconds``), for a busy machine inflates wall time.
    Runs timed by the wall alone count where a task and encoder has no others.
    """
    columns = ["key", "task", "encoder", "observed", "device", "state", *STAGES, "cpu_seconds"]
    ledgers = [published.ledger(), *([stored_ledger(Store(paths.store()))] if store else [])]
    # Rows, not frames: a column that is empty in one would decide the type of all.
    found = [row for ledger in ledgers for row in ledger[columns].to_dict("records")]
    frame = pd.DataFrame(found, columns=columns).drop_duplicates("key")
    frame = frame[
        (frame["state"] == "current")
        & (frame["observed"] == OBSERVED)
        & (frame["device"] == "cpu")
        & frame["task"].isin(TASKS)
        & frame["encoder"].isin(ENCODERS)
    ].astype(dict.fromkeys([*STAGES, "cpu_seconds"], float))
    by_processor = frame["cpu_seconds"].notna()
    better = by_processor.groupby([frame["task"], frame["encoder"]]).transform("any")
    frame = frame[by_processor | ~better]
    return frame.assign(seconds=frame["cpu_seconds"].fillna(frame[list(STAGES)].sum(axis=1)))


def run_goals(runs: pd.DataFrame) -> pd.DataFrame:
    """Hold the times of runs, as of `timed_runs`, against `RUN_SECONDS`.

    One row a task and encoder: number of ``runs``, the median ``seconds`` of one, the median share
    of each of `STAGES` in its wall time, the ``goal``, and whether the median ``met`` it (None
    without a goal).
    """
    found: list[dict[str, Any]] = []
    for (task, encoder), some in runs.groupby(["task", "encoder"], sort=False):
        stages = some[list(STAGES)]
        shares = stages.div(stages.sum(axis=1), axis=0).median()
        seconds, goal = float(some["seconds"].median()), RUN_SECONDS.get(str(task))
        found.append(
            {"task": task, "encoder": encoder, "runs": len(some), "seconds": seconds, **shares}
            | {"goal": goal, "met": None if goal is None else seconds <= goal}
        )
    columns = ["task", "encoder", "runs", "seconds", *STAGES, "goal", "met"]
    return pd.DataFrame(found, columns=columns)


def examinations(tasks: Sequence[str]) -> pd.DataFrame:
    """Hold the times of published examinations of tasks against those of their runs.

    One row a ``task`` and ``encoder``: how many ``examinations``; the median processor seconds of
    one, ``seconds``, and of its ``run``; the median share in its wall time of ``explain``,
    ``faithfulness``, ``flow``, ``simulate`` and ``people``; the median ``ratio`` of the two times,
    and whether it ``met`` `EXAMINATION`. Left out where the processor's time is not known.
    """
    runs = {one.key: one.manifest.get("cpu_seconds") for one in published.runs(tasks, None, None)}
    rows = []
    for one in published.examinations(tasks, None, None):
        spec, made = one.spec.base, one.manifest
        wall = sum(made["seconds"].values())
        if run := runs.get(made["base"]):
            rows.append(
                {
                    "task": spec.task,
                    "encoder": spec.encoder,
                    "seconds": made["cpu_seconds"],
                    "run": run,
                    "ratio": made["cpu_seconds"] / run,
                    **{part: seconds / wall for part, seconds in made["seconds"].items()},
                }
            )
    if not rows:
        return pd.DataFrame()
    by = pd.DataFrame(rows).groupby(["task", "encoder"], sort=False)
    found = by.median(numeric_only=True).join(by.size().rename("examinations"))
    return found.assign(met=found["ratio"] <= EXAMINATION).reset_index()


def grid_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how long a run of each task and encoder of the paper's grid takes, given `timed_runs`.

    One row a ``task`` and ``encoder``: the median ``seconds``, how many runs ``measured`` it, and
    how many of these are ``timed`` by the processor; missing where there is no run. What a
    projection and an alignment cost beside an encoder is within their spread, so the median over
    them stands for each.
    """
    cells = runs.groupby(["task", "encoder"]).agg(
        seconds=("seconds", "median"), measured=("seconds", "size"), timed=("cpu_seconds", "count")
    )
    every = pd.MultiIndex.from_product([TASKS, ENCODERS], names=["task", "encoder"])
    return cells.reindex(every).reset_index()


def grid_hours(cells: pd.DataFrame) -> float:
    """Return the hours of all cells that are known, with `PROCESSES`, a core each."""
    return float(cells["seconds"].sum()) * CELL_RUNS / PROCESSES / 3600


def grid_in_words(cells: pd.DataFrame) -> str:
    """Return the time of the grid as a sentence or two: hours, made of what, what is unknown."""
    known = cells.dropna(subset="seconds")
    if known.empty:
        return "No estimate of the paper's grid: none of its runs is known."
    parts = "; ".join(
        f"{label(cell['task'])} {label(cell['encoder'])} {cell['seconds']:.0f} s "
        f"(runs: {cell['measured']:.0f})"
        for cell in known.to_dict("records")
    )
    unknown = cells[cells["seconds"].isna()]
    missing = ", ".join(unknown["task"].map(label) + " " + unknown["encoder"].map(label))
    by_wall = int((known["measured"] - known["timed"]).sum())
    clock = f" {by_wall} of these runs are timed by the wall clock, while others ran beside them."
    rest = (
        f" Only runs in today's arithmetic count; of {missing} there is none, and on top come "
        f"{CELL_RUNS} runs each."
    )
    return (
        f"{f'{CELL_RUNS * len(known)} of the' if missing else 'All'} {CELL_RUNS * len(cells)} runs "
        f"of the paper's grid, {PROCESSES} at a time: {grid_hours(cells):.1f} hours, by "
        f"the median seconds of a run: {parts}.{clock if by_wall else ''}"
        f"{rest if missing else ''}"
    )


def verdict(
    compared: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, examined: pd.DataFrame
) -> list[str]:
    """Say which goals are met: of `against_goals`, `run_goals`, `grid_cells`, `examinations`."""
    said = _of_peers(compared.dropna(subset=["goal"]))
    said += [
        f"{label(row['task'])}, {label(row['encoder'])}: a run takes {row['seconds']:.0f} s, "
        f"goal {row['goal']:.0f} s, {'met' if row['met'] else 'missed'}."
        for row in runs.dropna(subset=["goal"]).to_dict("records")
    ]
    if len(examined):
        said.append(
            f"An examination takes no longer than its run: {examined['met'].sum()} of "
            f"{len(examined)} tasks and encoders, by the median ratio."
        )
    known = "What is known of the grid" if cells["seconds"].isna().any() else "The grid"
    hours = grid_hours(cells)
    within = "fits into" if hours <= GRID_HOURS else "exceeds"
    night = f"{within} one night on two cores ({hours:.1f} of {GRID_HOURS:.0f} hours)"
    return [*said, f"{known} {night}."]


def _of_peers(compared: pd.DataFrame) -> list[str]:
    by_setting = compared.groupby("setting", sort=False)["met"]
    each = "; ".join(f"{met.sum()} of {len(met)} with {name}" for name, met in by_setting)
    missed = ", ".join(
        f"{row['peer']} ({row['ratio']:.1f} of {row['goal']:.0f}, {row['setting']})"
        for row in compared[~compared["met"].astype(bool)].to_dict("records")
    )
    loo = compared[compared["key"].str.startswith("loo_")].groupby("setting", sort=False)["met"]
    both = " and ".join(f"with {name}" for name, met in loo if met.all())
    return [
        f"Ratios that reach their goal: {each}." + (f" Missed: {missed}." if missed else ""),
        f"Leave-one-out reaches both of its goals at once {both or 'in no setting'}.",
    ]


def measured_with(reports: Sequence[Report]) -> str:
    """Say as Markdown on what each measurement was made, and how long it took."""
    said = "Measured with\n\n"
    for by in (report["machine"] for report in reports):
        busy = "" if by.get("load") is None else f"; load average beforehand {by['load']}"
        said += (
            f"- **{_threads(by['threads'])}**: {by['processor']}, {by['cores']} cores, "
            f"{by['system']}, torch {by['torch']}, {by['date']}, {by['seconds']} s for all{busy}.\n"
        )
    return (
        f"{said}\nA run of a sweep has one thread; at a prompt torch takes one for each core. The "
        "peers always have as many."
    )


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
