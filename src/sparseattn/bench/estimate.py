"""How long the paper's complete grid takes here, from what its runs took so far."""

from typing import Any

import pandas as pd

from sparseattn import paths
from sparseattn.experiments.runs import Store
from sparseattn.results import published
from sparseattn.results.paper import TASKS
from sparseattn.wording import label

ENCODERS = ("bilstm", "transformer")
ALIGNMENTS, PROJECTIONS = 2, 9
OBSERVED = 300
STAGES = ("train", "evaluate", "importance", "influence")


def timed_runs(store: bool = True) -> pd.DataFrame:
    """Return the runs whose times count, each once: the published ones, and those of the store.

    Parameters
    ----------
    store
        False leaves those of the store out: the published ones are the same everywhere.

    Returns
    -------
    DataFrame
        ``key``, ``task``, ``encoder``, ``published``, the wall seconds of each stage, and
        ``seconds``, of all: the processor's (``cpu_seconds``), for a busy machine inflates wall
        time. Runs timed by the wall alone count where a task and encoder has no others. Only the
        current runs of the paper's tasks and encoders that were computed on a CPU and observed on
        `OBSERVED` documents.
    """
    columns = ["key", "task", "encoder", "observed", "device", "state", *STAGES, "cpu_seconds"]
    ledgers = {True: published.ledger()}
    if store:
        ledgers[False] = Store(paths.store()).ledger()
    rows = [
        {**row, "published": known}
        for known, ledger in ledgers.items()
        for row in ledger[columns].to_dict("records")
        if row["state"] == "current" and row["observed"] == OBSERVED and row["device"] == "cpu"
        if row["task"] in TASKS and row["encoder"] in ENCODERS
    ]
    frame = pd.DataFrame(rows, columns=[*columns, "published"]).drop_duplicates("key")
    frame = frame.astype(dict.fromkeys([*STAGES, "cpu_seconds"], float))
    by_processor = frame["cpu_seconds"].notna()
    better = by_processor.groupby([frame["task"], frame["encoder"]]).transform("any")
    frame = frame[by_processor | ~better]
    return frame.assign(seconds=frame["cpu_seconds"].fillna(frame[list(STAGES)].sum(axis=1)))


def estimate(runs: pd.DataFrame, processes: int = 2) -> dict[str, Any]:
    """Estimate the paper's complete grid, one seed.

    Parameters
    ----------
    runs
        As of `timed_runs`.
    processes
        How many run side by side, each on a core of its own.

    Returns
    -------
    dict
        ``runs`` of the grid; ``cells``, for each task and encoder their median ``seconds`` (None
        without a run), how many runs ``measured`` these, how many of them are ``published``, and
        how many are timed ``by_wall`` clock;
        ``processes``; ``hours`` for all that is known; and ``unknown``, the cells without a run,
        whose time comes on top.

    Notes
    -----
    3 tasks × 2 encoders × 2 alignments × 9 projections; what a projection and an alignment cost
    beside an encoder is within the spread of the runs, so the median over them stands for each.
    """
    cells: list[dict[str, Any]] = []
    for task in TASKS:
        for encoder in ENCODERS:
            some = runs[(runs["task"] == task) & (runs["encoder"] == encoder)]
            cells.append(
                {
                    "task": task,
                    "encoder": encoder,
                    "seconds": float(some["seconds"].median()) if len(some) else None,
                    "measured": len(some),
                    "published": int(some["published"].sum()),
                    "by_wall": int(some["cpu_seconds"].isna().sum()),
                }
            )
    each = ALIGNMENTS * PROJECTIONS
    known = sum(cell["seconds"] for cell in cells if cell["seconds"] is not None)
    return {
        "runs": each * len(cells),
        "cells": cells,
        "processes": processes,
        "hours": known * each / processes / 3600,
        "unknown": [[cell["task"], cell["encoder"]] for cell in cells if cell["seconds"] is None],
    }


def in_words(grid: dict[str, Any]) -> str:
    """Return an estimate as a sentence or two: hours, what they are made of, what is unknown."""
    known = [cell for cell in grid["cells"] if cell["seconds"] is not None]
    if not known:
        return "No estimate of the paper's grid: none of its runs is known."
    parts = "; ".join(
        f"{label(cell['task'])} {label(cell['encoder'])} {cell['seconds']:.0f} s "
        f"(runs: {cell['measured']})"
        for cell in known
    )
    each = grid["runs"] // len(grid["cells"])
    missing = ", ".join(f"{label(task)} {label(encoder)}" for task, encoder in grid["unknown"])
    by_wall = sum(cell["by_wall"] for cell in known)
    clock = f" {by_wall} of these runs are timed by the wall clock, while others ran beside them."
    rest = f" Not known yet, and on top: {missing}, {each} runs each." if missing else ""
    return (
        f"{'All' if not missing else f'{each * len(known)} of the'} {grid['runs']} runs of the "
        f"paper's grid, "
        f"{grid['processes']} at a time: {grid['hours']:.1f} hours, by the median seconds of a "
        f"run: {parts}.{clock if by_wall else ''}{rest}"
    )
