"""What a page shows side by side: the published tasks, and the runs that the page itself asks for.

They are told apart by the column ``origin``: ``SST`` is published, ``Planted (live)`` the page's.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from sparseattn.experiments.runs import Result, Run
from sparseattn.results import paper, published
from sparseattn.results.frames import measurements
from sparseattn.wording import classifier_names, label

LIVE = "(live)"


def together(live: Iterable[Run], tasks: Sequence[str]) -> pd.DataFrame:
    """Return the measurements of published tasks and of a page's own runs in one frame.

    The columns of `results.frames.measurements`, projections under canonical names
    (`results.paper.canonical`), and ``origin``; published tasks first, those of which nothing is
    published passed over.
    """
    return of_results(live, (run for task in tasks for run in published.runs([task])))


def of_results(live: Iterable[Result], known: Iterable[Result]) -> pd.DataFrame:
    """Return the measurements of published results and of a page's own, see `joined`."""
    by_task: dict[str, list[Result]] = {}
    for one in known:
        by_task.setdefault(label(one.manifest["task"]["name"]), []).append(one)
    parts = {name: measurements(results) for name, results in by_task.items()}
    return joined(parts, measurements(live))


def joined(parts: dict[str, pd.DataFrame], live: pd.DataFrame) -> pd.DataFrame:
    """Return published frames, by the name of their task, and the page's own as one.

    Their names are in ``origin``; those without rows are passed over.
    """
    named = dict(parts)
    if len(live):
        named[f"{label(live['task'].iloc[0])} {LIVE}"] = live
    # Copied: of runs whose quantities differ, a frame is in pieces, and pandas warns on the page.
    known = [
        paper.unique(one).copy().assign(origin=name) for name, one in named.items() if len(one)
    ]
    return pd.concat(known, ignore_index=True).copy() if known else live.copy().assign(origin="")


def without_lambda(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave sparsegen to the charts over λ, but for origins that have nothing else."""
    graded = rows["lam"].notna() & (rows["lam"] != 0)
    return rows[~graded | graded.groupby(rows["origin"]).transform("all")]


def pooled(frame: pd.DataFrame, by: Sequence[str], quantities: Sequence[str]) -> pd.DataFrame:
    """Average quantities over what is not in `by`, for each seed and document."""
    keys = [*by, "seed", "document"]
    means = frame.groupby(keys, sort=False, dropna=False, observed=True)[list(quantities)].mean()
    return means.reset_index()


def beside_chance(summary: pd.DataFrame, chance: Mapping[str, str]) -> pd.DataFrame:
    """Put what chance would give into a column ``null`` of a summary (`statistics.summarise`).

    `chance` names for a quantity the one that holds its chance level, of which the mean in the same
    cell is taken. The rows are those of the quantities, in the order of `chance`.
    """
    cell = list(summary.columns[: list(summary.columns).index("quantity")])
    levels = summary[[*cell, "quantity", "mean"]].rename(
        columns={"quantity": "chance", "mean": "null"}
    )
    rows = summary[summary["quantity"].isin(list(chance))]
    rows = rows.assign(chance=rows["quantity"].map(dict(chance)))
    rows = rows.merge(levels, on=[*cell, "chance"], how="left").drop(columns="chance")
    order = rows["quantity"].map({name: place for place, name in enumerate(chance)})
    return rows.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def reported(figures: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return the paper's figures beside which ours of a frame can be drawn; None without any.

    Those of each origin's task, under the names that charts use: ``origin``, ``classifier``,
    ``mean``.
    """
    known = figures.merge(frame[["origin", "task"]].drop_duplicates(), on="task")
    if known.empty:
        return None
    return known.assign(classifier=classifier_names(known), mean=known["value"])
