"""Which run made this number, on which page: every run behind the book, and what the pages cost.

An executed notebook keeps its origin in its metadata (`report.book`). A page that reads the
origins of others sees those before it, which a build has executed by then, and is itself executed
again when one of them was.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from sparseattn import paths
from sparseattn.experiments.runs import Result
from sparseattn.experiments.store import Store
from sparseattn.report.links import PAGE
from sparseattn.report.provenance import origin_in
from sparseattn.results import frames, published
from sparseattn.wording import label, verbatim

_ENTRIES = ("parameters", "runs", "seconds", "date")


def everything(before: str = PAGE) -> pd.DataFrame:
    """Return every run behind the pages before one, as `with_pages`: published ones first."""
    behind = pages_of_runs(pages(before))
    recorded: list[Result] = [
        *published.runs(), *published.adversaries(), *published.examinations()
    ]  # fmt: skip
    known = {one.key for one in recorded}
    return with_pages([*recorded, *stored([key for key in behind if key not in known])], behind)


def with_pages(results: Sequence[Result], behind: Mapping[str, list[str]]) -> pd.DataFrame:
    """Return `results.frames.ledger` of some results, and the ``pages`` that rest on each.

    `behind` has the notebooks of each key.
    """
    frame = frames.ledger(results)
    return frame.assign(pages=[" ".join(behind.get(key, [])) for key in frame["key"]])


def pages(before: str) -> pd.DataFrame:
    """Return what the build executed before one page: one row a page, none outside a build.

    ``notebook``, ``parameters`` (those that differ from its own), ``runs`` (keys), ``seconds`` it
    took to execute, and the ``date`` it was.
    """
    found = [
        (name, origin_in(paths.executed_notebook(name)))
        for name in paths.notebook_names()
        if name < before
    ]
    rows = [
        {"notebook": name, **{entry: kept[entry] for entry in _ENTRIES}}
        for name, kept in found
        if set(_ENTRIES) <= set(kept)
    ]
    return pd.DataFrame(rows, columns=["notebook", *_ENTRIES])


def pages_of_runs(executed: pd.DataFrame) -> dict[str, list[str]]:
    """Return the pages that rest on each run: key → notebooks; `executed` as of `pages`."""
    behind: dict[str, list[str]] = {}
    for page in executed.to_dict("records"):
        for key in dict.fromkeys(page["runs"]):
            behind.setdefault(key, []).append(page["notebook"])
    return behind


def stored(keys: Sequence[str]) -> list[Result]:
    """Return those of some results that this machine's store holds, in this order."""
    found = map(Store(paths.store()).get, keys)
    return [one for one in found if one is not None]


def times(frame: pd.DataFrame, by: str = "task") -> pd.DataFrame:
    """Return the computing time behind runs: by group and ``stage``, ``hours`` and ``runs``."""
    long = frame.melt([by, "key"], list(frames.SPENT), var_name="stage", value_name="spent")
    summed = long.groupby([by, "stage"], sort=False).agg(
        hours=("spent", lambda seconds: seconds.sum() / 3600), runs=("key", "size")
    )
    return summed.reset_index().assign(stage=lambda rows: rows["stage"].map(frames.SPENT))


def times_by_task(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the hours of each stage, one row a task.

    ``task``, number of ``runs``, the hours of each stage (in words) and of ``all``, and of a run
    the ``median`` seconds, those of the ``processor``, and in how many runs these are ``known``.
    """
    tasks = frame.groupby("task", sort=False)
    hours = times(frame).pivot_table(index="task", columns="stage", values="hours", sort=False)
    hours = hours.reindex(columns=list(frames.SPENT.values()))
    cost = hours.assign(
        all=hours.sum(axis="columns"),
        median=tasks["seconds"].median(),
        processor=tasks["cpu_seconds"].median(),
        known=tasks["cpu_seconds"].count(),
    )
    cost.insert(0, "runs", tasks.size())
    return cost.reset_index().rename_axis(columns=None)


def counted(frame: pd.DataFrame) -> str:
    """Say how many runs there are, of which task and from where."""
    counts = frame.groupby(["origin", "task"], sort=False).size()
    listed = [
        f"{count} on {verbatim(label(task))} ({origin})" for (origin, task), count in counts.items()
    ]
    if not listed:
        return "No run is published, and no page of this build has computed one."
    return f"{len(frame)} runs: {', '.join(listed)}."


def data_behind(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data and initial vectors behind runs, one row each that differs, by state."""
    named = frame.assign(data=frame["fingerprint"].str[:16], day=frame["date"].str[:10])
    cells = named.groupby(["task", "data", "vectors", "state"], sort=False, as_index=False)
    return cells.agg(
        observed=("observed", _joined),
        runs=("key", "size"),
        seeds=("seed", "nunique"),
        days=("day", lambda days: " to ".join(dict.fromkeys([days.min(), days.max()]))),
    )


def machines(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the machines, packages and code behind runs: a row a fact (``of``), a column each."""
    named = frame.assign(
        code=frame["commit"].str.replace(r"^(.{8})[^+]*", r"\1", regex=True).fillna("no commit"),
        machine=frame["gpu"].fillna(frame["processor"]),
    )
    facts = {
        "machine": "GPU, or processor",
        "device": "device",
        "python": "Python",
        "packages": "packages",
        "versions": "stages",
    }
    cells = named.groupby(list(facts), sort=False, as_index=False)
    found = cells.agg(commits=("code", _joined), runs=("key", "size")).rename(columns=facts)
    turned = found.astype("str").T.reset_index(names="of")
    return turned.rename(columns={place: f"{place + 1}" for place in range(len(found))})


def verdict(frame: pd.DataFrame, executed: pd.DataFrame) -> str:
    """Say how many runs the pages of a build (`pages`) rest on, and how many are current."""
    named = {key for keys in executed["runs"] for key in keys}
    lost = len(named - set(frame["key"]))
    gone = f", {lost} are no longer in the run store" if lost else ""
    return (
        f"{len(executed)} pages of this build rest on {len(named)} runs; {len(named) - lost} of "
        f"them are listed above{gone}. {int((frame['state'] == 'current').sum())} of the "
        f"{len(frame)} runs were made by the stages as they are now, so the same settings would "
        "give them the same key today."
    )


def _joined(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))
