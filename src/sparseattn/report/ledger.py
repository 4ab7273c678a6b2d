"""Which run made this number, on which page: every run behind the book, and what the pages cost.

An executed notebook keeps its origin in its metadata (`report.book`). A page that reads the
origins of others sees those before it, which a build has executed by then, and is itself executed
again when one of them was.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparseattn import paths
from sparseattn.experiments.runs import Result
from sparseattn.experiments.specs import STAGES
from sparseattn.experiments.store import Store
from sparseattn.report.links import NO_ADVERSARY, PAGE
from sparseattn.report.provenance import origin_in
from sparseattn.results import frames, published

_ENTRIES = ("parameters", "runs", "seconds", "date")


def everything(before: str = PAGE) -> pd.DataFrame:
    """Return every run behind the pages before one: published, or computed by this build.

    Returns
    -------
    DataFrame
        See `with_pages`; published ones first.
    """
    behind = pages_of_runs(pages(before))
    recorded: list[Result] = [*published.runs(), *published.adversaries()]
    known = {one.key for one in recorded}
    return with_pages([*recorded, *stored([key for key in behind if key not in known])], behind)


def with_pages(results: Sequence[Result], behind: Mapping[str, list[str]]) -> pd.DataFrame:
    """Return `results.frames.ledger` of some results, and the ``pages`` that rest on each.

    `behind` has the notebooks of each key; ``adversary`` of a run is `NO_ADVERSARY`.
    """
    frame = frames.ledger(results)
    return frame.assign(
        adversary=frame["adversary"].astype("object").fillna(NO_ADVERSARY),
        pages=[" ".join(behind.get(key, [])) for key in frame["key"]],
    )


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
    """Return those of some runs and adversaries that this machine's store holds, in this order."""
    found = map(Store(paths.store()).get, keys)
    return [one for one in found if one is not None]


def times(frame: pd.DataFrame, by: str = "task") -> pd.DataFrame:
    """Return the computing time behind runs: by group and ``stage``, ``hours`` and ``runs``."""
    long = frame.melt([by, "key"], list(STAGES), var_name="stage", value_name="spent")
    summed = long.groupby([by, "stage"], sort=False).agg(
        hours=("spent", lambda seconds: seconds.sum() / 3600), runs=("key", "size")
    )
    return summed.reset_index().assign(stage=lambda rows: rows["stage"].map(STAGES))
