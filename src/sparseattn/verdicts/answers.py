"""What the verdicts come to: the report's answer in a few sentences, and each page's."""

from collections.abc import Sequence

import pandas as pd

from sparseattn.charts.tables import badge
from sparseattn.data.owntexts import is_own
from sparseattn.results import side_by_side
from sparseattn.verdicts import claims, effects
from sparseattn.verdicts.contradictions import contradictions
from sparseattn.wording import classifier_names, label, listed, span, verbatim

RULE = '<a href="../measures.html#measures-verdicts">How a claim is judged</a>.'


def judge(
    frame: pd.DataFrame, numbers: Sequence[int], adversaries: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the effects behind some claims, a row a cell, of all origins.

    Parameters
    ----------
    frame, adversaries
        Measurements with ``origin``, as from `results.side_by_side.together`.
    numbers
        Those of the claims.
    """
    return claims.cells(frame, adversaries, numbers=numbers)


def by_origin(cells: pd.DataFrame) -> pd.DataFrame:
    """Judge each claim on each origin by itself, live ones too: as `claims.verdicts`, `origin`."""
    keys = ["number", "origin"]
    parts = [
        claims.verdicts(part).assign(origin=origin).set_index("number").loc[[number]].reset_index()
        for (number, origin), part in cells.groupby(keys, sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=keys)


def in_full(cells: pd.DataFrame, number: int) -> str:
    """Return as Markdown one claim, what became of it and by how much, and how it is judged.

    Parameters
    ----------
    cells
        From `judge`; those of `claims.deciding` decide.
    number
        That of the claim.
    """
    decisive = claims.deciding(cells)
    row = claims.verdicts(decisive).set_index("number").loc[number].to_dict()
    claim = next(one for one in claims.CLAIMS if one.number == number)
    parts = [
        f"{one['verdict']} on {verbatim(one['origin'])} ({one['counts']})"
        for one in by_origin(decisive[decisive["number"] == number]).to_dict("records")
    ]
    by = f" Importance is by {claims.LOO}." if claims.LOO in claim.yardsticks else ""
    apart = f" By task: {'; '.join(parts)}." if len(parts) > 1 else ""
    return (
        f"**{claim.statement}** {badge(row['verdict'])}\n\n{row['sentence']}{apart}"
        + (f" {row['paper']}" if row["paper"] else "")
        + f"\n\n*What is compared.* {claim.compared}{by} {RULE}"
    )


def by_yardstick(
    frame: pd.DataFrame, numbers: Sequence[int], adversaries: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Judge some claims by each measure of importance there is: as `claims.verdicts`, ``by``."""
    decisive = claims.deciding(frame)
    chosen = [claim for claim in claims.CLAIMS if claim.number in numbers]
    names = dict.fromkeys(name for claim in chosen for name in claim.yardsticks)
    rows = []
    for name in names:
        found = claims.verdicts(claims.cells(decisive, adversaries, name, numbers)).assign(by=name)
        known = [claim.number for claim in chosen if name in claim.yardsticks]
        rows.append(found[found["number"].isin(known)])
    return pd.concat(rows).sort_values("number", kind="stable", ignore_index=True)


def own_texts(frame: pd.DataFrame) -> str:
    """Say of a page on the user's own texts that these alone decide, and how accurate it is.

    Parameters
    ----------
    frame
        As from `results.side_by_side.together`, with ``label`` and ``correct``.

    Returns
    -------
    str
        Empty where the page has none.
    """
    rows = claims.deciding(frame)
    if rows.empty or not is_own(rows["task"].iloc[0]):
        return ""
    right = rows.groupby(["classifier", "sparsity", "seed"])["correct"].mean()
    ones = rows["label"].mean()
    few = right.min() <= max(ones, 1 - ones)
    where = listed([verbatim(origin) for origin in rows["origin"].unique()])
    return (
        f"Judged on {where} alone: its {len(right)} classifiers "
        f"are right on {span(right, '.0%')} of {rows['document'].nunique()} test documents, where "
        f"always naming the commoner class would be on {max(ones, 1 - ones):.0%}."
        + (" What a classifier no better than that attends to explains nothing." if few else "")
    )


def contextualised(change: pd.DataFrame) -> str:
    """Say in how many pairs states mix more under sparsemax than under softmax, or less.

    Parameters
    ----------
    change
        Of :func:`verdicts.effects.under_sparsemax`; without rows there is nothing to say.
    """
    if change.empty:
        return ""
    theirs = effects.papers_change()["value"]
    left, right = (change["high"] < 0).sum(), (change["low"] > 0).sum()
    return (
        "The paper's own Table 1 speaks against its suggestion: under sparsemax, influence is "
        f"*less* dispersed in {(theirs < 0).sum()} of {len(theirs)} pairs. Of our pairs "
        f"in the chart it is so in {(change['mean'] < 0).sum()} of {len(change)}. Of our "
        f"intervals, {left + right} exclude zero: {left} on the side of less dispersion, "
        f"{right} on the side of more."
    )


def spread_out(spread: pd.DataFrame) -> str:
    """Say how dispersed importance is under softmax and sparse projections, and in noise."""
    softmax = spread["projection"] == "softmax"
    kinds = softmax.map({True: "softmax", False: "sparse projections"})
    told = [
        f"{span(part)} under {name}" for name, part in spread["mean"].groupby(kinds, sort=False)
    ]
    return (
        f"Over tasks, classifiers and both measures, mean dispersion is {' and '.join(told)}. "
        f"Noise would give {span(spread['null'])}."
    )


def falling(series: pd.DataFrame) -> str:
    """Say in how many lines over λ dispersion falls; nothing where none has two λ."""
    line = effects.ends(series, ["origin", "measure", "classifier"])
    if line.empty:
        return ""
    change = line["last"] - line["first"]
    return (
        f"From its lowest λ to its highest, dispersion falls in {(change < 0).sum()} of "
        f"{len(line)} lines (a line is a classifier on a task, by one measure). The change is "
        f"{span(change, '+.3f')}."
    )


def narrowed(realised: pd.DataFrame) -> str:
    """Say over which share of the tokens attention is spread at either end of λ."""
    line = effects.ends(realised, effects.WHERE)
    if line.empty:
        return ""
    return (
        f"At the lowest λ, attention is spread over {span(line['first'], '.0%')} of the tokens; at "
        f"the highest, over {span(line['last'], '.0%')}. The same λ is not the same sparsity."
    )


def against_itself_on_dispersion(replicated: pd.DataFrame, correlations: pd.DataFrame) -> str:
    """Say how the paper's text and its Table 2 disagree, and which pairs only our chart has.

    Parameters
    ----------
    replicated
        Of :func:`verdicts.replication.replicate`.
    correlations
        Of :func:`verdicts.effects.correlations`.
    """
    case = contradictions(replicated).set_index("number").loc[1]
    both = replicated[(replicated["item"] == "Table 2") & replicated["here"].notna()]
    both = both["task"].map(label) + " with " + classifier_names(both)
    pairs = f", for what that table and the published runs share ({'; '.join(both)})"
    drawn = correlations[correlations["method"].eq("pearson") & correlations["axis"].eq("with λ")]
    drawn = drawn[~drawn["origin"].str.endswith(side_by_side.LIVE)]
    drawn = drawn["origin"] + " with " + drawn["classifier"]
    only_here = "; ".join(pair for pair in drawn if pair not in set(both))
    lacking = f" The chart also shows {only_here}, which that table lacks." if only_here else ""
    return (
        f"**The paper against itself.** *{case['text']}* In its own {case['items']}: "
        f"{case['paper']}\n\nHere, by Pearson's coefficient{pairs if len(both) else ''}: "
        f"{case['here']}{lacking}"
    )
