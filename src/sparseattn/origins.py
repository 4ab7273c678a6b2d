"""What a page shows side by side: the published tasks, and the runs that the page itself asks for.

They are told apart by the column ``origin``: ``SST`` is published, ``Planted (live)`` the page's.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from . import claims, paper, published
from .appearance import label
from .cells import classifier_names, measurements
from .owntexts import is_own
from .prose import listed, span
from .runs import Run

LIVE = "(live)"


def together(live: Iterable[Run], tasks: Sequence[str]) -> pd.DataFrame:
    """Return the measurements of published tasks and of the page's own runs in one frame.

    Parameters
    ----------
    live
        The page's runs.
    tasks
        Names of the published tasks to show; those of which nothing is published are passed over.

    Returns
    -------
    DataFrame
        The columns of `sparseattn.cells.measurements`, projections under canonical names
        (`sparseattn.paper.canonical`), and ``origin``; published tasks first.
    """
    parts = {label(task): published.measurements([task]) for task in tasks}
    return joined(parts, measurements(live))


def joined(parts: dict[str, pd.DataFrame], live: pd.DataFrame) -> pd.DataFrame:
    """Return frames as one, their names in ``origin``; those without rows are passed over.

    Parameters
    ----------
    parts
        Published frames by the name of their task.
    live
        That of the page's own runs.
    """
    named = dict(parts)
    if len(live):
        named[f"{label(live['task'].iloc[0])} {LIVE}"] = live
    known = [paper.unique(one).assign(origin=name) for name, one in named.items() if len(one)]
    return pd.concat(known, ignore_index=True) if known else live.assign(origin="")


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
    """Put what chance would give into a column ``null`` of a summary.

    Parameters
    ----------
    summary
        From `sparseattn.statistics.summarise`, of quantities and of their chance levels.
    chance
        Quantity → the quantity that holds its chance level.

    Returns
    -------
    DataFrame
        The rows of the quantities, in the order of `chance`, with the mean of the chance level of
        the same cell.
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
    """Return the paper's figures beside which ours of a frame can be drawn.

    Parameters
    ----------
    figures
        From a function of `sparseattn.paper`.
    frame
        Ours, with ``origin`` and ``task``.

    Returns
    -------
    DataFrame or None
        The figures of each origin's task, under the names that charts use: ``origin``,
        ``classifier``, ``mean``; None where there are none.
    """
    known = figures.merge(frame[["origin", "task"]].drop_duplicates(), on="task")
    if known.empty:
        return None
    return known.assign(classifier=classifier_names(known), mean=known["value"])


def verdicts(frame: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    """Judge some claims on each origin's measurements by themselves; own texts on them alone.

    Parameters
    ----------
    frame
        As from `together`.
    numbers
        Those of the claims.

    Returns
    -------
    DataFrame
        As from `sparseattn.claims.verdicts`, with ``origin``; ordered by claim.
    """
    frame = deciding(frame)
    found = pd.concat(
        [
            claims.verdicts(part).assign(origin=origin)
            for origin, part in frame.groupby("origin", sort=False)
        ],
        ignore_index=True,
    )
    found = found[found["number"].isin(numbers)]
    return found.sort_values("number", kind="stable", ignore_index=True)


def balance(judged: pd.DataFrame, number: int) -> str:
    """Say what becomes of one claim over all cells of all origins together.

    Parameters
    ----------
    judged
        From `verdicts`.
    number
        That of the claim.

    Returns
    -------
    str
        As from `sparseattn.claims.outcome`.
    """
    return claims.outcome(_together(judged, number))


def counts(judged: pd.DataFrame, number: int, words: Sequence[str] = ("for", "against")) -> str:
    """Say how many cells of all origins are for one claim, against it, or neither.

    Parameters
    ----------
    judged, number
        As for `balance`.
    words
        For those that support and those that contradict.
    """
    return claims.counted(_together(judged, number), words) or "nothing was measured"


def by_outcome(judged: pd.DataFrame, number: int, words: Sequence[str] = ("for", "against")) -> str:
    """Say what became of one claim where: ``mixed on SST (5 for, 2 against, 1 unclear of 8)``.

    Parameters
    ----------
    judged, number, words
        As for `counts`.
    """
    rows = judged[judged["number"] == number].to_dict("records")
    return "; ".join(
        f"{one['verdict']} on {one['origin']}"
        + (f" ({told})" if (told := claims.counted(one, words)) else "")
        for one in rows
    )


def deciding(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a page is judged by: those on the user's own texts, where it has any."""
    own = frame["task"].map(is_own).astype(bool)
    return frame[own] if own.any() else frame


def own_texts(frame: pd.DataFrame) -> str:
    """Say of a page on the user's own texts that these alone decide, and how accurate it is.

    Parameters
    ----------
    frame
        As from `together`, with ``label`` and ``correct``.

    Returns
    -------
    str
        Empty where the page has none.
    """
    rows = deciding(frame)
    if rows.empty or not is_own(rows["task"].iloc[0]):
        return ""
    right = rows.groupby(["classifier", "sparsity", "seed"])["correct"].mean()
    ones = rows["label"].mean()
    few = right.min() <= max(ones, 1 - ones)
    return (
        f"Judged on {listed(list(rows['origin'].unique()))} alone: its {len(right)} classifiers "
        f"are right on {span(right, '.0%')} of {rows['document'].nunique()} test documents, where "
        f"always naming the commoner class would be on {max(ones, 1 - ones):.0%}."
        + (" What a classifier no better than that attends to explains nothing." if few else "")
    )


def _together(judged: pd.DataFrame, number: int) -> dict[str, int]:
    rows = judged[judged["number"] == number]
    return {word: int(rows[word].sum()) for word in claims.CELLS}


def rules(judged: pd.DataFrame) -> str:
    """Return as Markdown how each claim was judged, and what the paper has on it.

    Parameters
    ----------
    judged
        From `verdicts`.
    """
    return "\n\n".join(
        f"*Claim {one['number']} in the paper.* {one['paper']} *Rule.* {one['rule']}"
        for one in judged.drop_duplicates("number").to_dict("records")
    )
