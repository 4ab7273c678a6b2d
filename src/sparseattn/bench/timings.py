"""The published measurement of speed, and what it was meant to reach.

``book/results/bench.json`` holds one report of `bench.benchmark.main` for each number of threads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparseattn import paths
from sparseattn.bench.estimate import STAGES
from sparseattn.results.parquet import read_json, write_json

FILE = "bench.json"

GOALS: dict[str, float] = {
    "loo_vs_batched": 4,
    "loo_vs_naive": 10,
    "influence_vs_batched": 5,
    "influence_vs_loop": 5,
    "transformer_influence_vs_loop": 3,
    "tau_vs_scipy": 10,
}
"""How many times faster than each peer, set before anything was measured."""
RUN_SECONDS = {"sst": 60.0, "newsgroups": 150.0}
"""The most that a run of a task should take, trained and observed."""
GRID_HOURS = 10.0
"""One night, for the paper's complete grid on two cores."""

Report = Mapping[str, Any]


def publish(report: Report, folder: Path | None = None) -> Path:
    """Add a measurement, in the place of one with as many threads; return the file."""
    folder = paths.results() if folder is None else folder
    threads = report["machine"]["threads"]
    others = [one for one in read(folder) if one["machine"]["threads"] != threads]
    reports = sorted([*others, report], key=lambda one: int(one["machine"]["threads"]))
    return write_json(folder / FILE, {"measurements": rounded(reports)})


def read(folder: Path | None = None) -> list[dict[str, Any]]:
    """Return the published measurements, fewest threads first; none when there is no file."""
    file = (paths.results() if folder is None else folder) / FILE
    return list(read_json(file, ["measurements"])["measurements"]) if file.is_file() else []


def rounded(value: Any) -> Any:
    """Keep four digits of each number in lists and dictionaries: a time is not known better."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def rows(reports: Sequence[Report], name: str) -> pd.DataFrame:
    """Return one list of all reports, such as ``scaling``, as a frame with a column ``threads``."""
    return pd.DataFrame(
        [{"threads": one["machine"]["threads"], **row} for one in reports for row in one[name]]
    )


def goals(reports: Sequence[Report]) -> pd.DataFrame:
    """Hold the measurements against `GOALS`.

    Returns
    -------
    DataFrame
        One row for each goal and number of threads: ``key``, ``what``, ``against``, ``threads``,
        the least ``goal``, the measured ``ratio``, and whether it is ``met``.
    """
    found = [
        {
            **{name: row[name] for name in ("key", "what", "against", "ratio")},
            "threads": one["machine"]["threads"],
            "goal": GOALS[row["key"]],
            "met": bool(row["ratio"] >= GOALS[row["key"]]),
        }
        for one in reports
        for row in one["comparisons"]
        if row["key"] in GOALS
    ]
    columns = ["key", "what", "against", "threads", "goal", "ratio", "met"]
    frame = pd.DataFrame(found, columns=columns)
    order = frame["key"].map(list(GOALS).index)
    return frame.assign(order=order).sort_values(["order", "threads"]).drop(columns="order")


def run_goals(runs: pd.DataFrame) -> pd.DataFrame:
    """Hold the times of runs against `RUN_SECONDS`.

    Parameters
    ----------
    runs
        As of `bench.estimate.timed_runs`.

    Returns
    -------
    DataFrame
        One row a task and encoder: number of ``runs``, the median ``seconds`` of one, the median
        share of the stages in its wall time (``train``, ``evaluate``, ``importance``,
        ``influence``), the ``goal``, and whether the median ``met`` it (None without a goal).
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
