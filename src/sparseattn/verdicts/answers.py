"""What the verdicts come to: the report's answer in a few sentences, and each page's."""

from collections.abc import Sequence

import pandas as pd

from sparseattn.charts.tables import badge
from sparseattn.data.owntexts import is_own
from sparseattn.results import side_by_side
from sparseattn.verdicts import claims, effects, outcomes
from sparseattn.verdicts.contradictions import contradictions
from sparseattn.wording import classifier_names, label, listed, span, verbatim


def judge(frame: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
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
        As from `verdicts.claims.verdicts`, with ``origin``; ordered by claim.
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
        From `judge`.
    number
        That of the claim.

    Returns
    -------
    str
        As from `verdicts.outcomes.outcome`.
    """
    return outcomes.outcome(_together(judged, number))


def counts(judged: pd.DataFrame, number: int, words: Sequence[str] = ("for", "against")) -> str:
    """Say how many cells of all origins are for one claim, against it, or neither.

    Parameters
    ----------
    judged, number
        As for `balance`.
    words
        For those that support and those that contradict.
    """
    return outcomes.counted(_together(judged, number), words) or "nothing was measured"


def by_outcome(judged: pd.DataFrame, number: int, words: Sequence[str] = ("for", "against")) -> str:
    """Say what became of one claim where: ``mixed on SST (5 for, 2 against, 1 unclear of 8)``.

    Parameters
    ----------
    judged, number, words
        As for `counts`.
    """
    rows = judged[judged["number"] == number].to_dict("records")
    return "; ".join(
        f"{one['verdict']} on {verbatim(one['origin'])}"
        + (f" ({told})" if (told := outcomes.counted(one, words)) else "")
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
        As from `results.side_by_side.together`, with ``label`` and ``correct``.

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
    where = listed([verbatim(origin) for origin in rows["origin"].unique()])
    return (
        f"Judged on {where} alone: its {len(right)} classifiers "
        f"are right on {span(right, '.0%')} of {rows['document'].nunique()} test documents, where "
        f"always naming the commoner class would be on {max(ones, 1 - ones):.0%}."
        + (" What a classifier no better than that attends to explains nothing." if few else "")
    )


def _together(judged: pd.DataFrame, number: int) -> dict[str, int]:
    rows = judged[judged["number"] == number]
    return {word: int(rows[word].sum()) for word in outcomes.CELLS}


def rules(judged: pd.DataFrame) -> str:
    """Return as Markdown how each claim was judged, and what the paper has on it.

    Parameters
    ----------
    judged
        From `judge`.
    """
    return "\n\n".join(
        f"*Claim {one['number']} in the paper.* {one['paper']} *Rule.* {one['rule']}"
        for one in judged.drop_duplicates("number").to_dict("records")
    )


def in_full(verdicts: pd.DataFrame, number: int) -> str:
    """Return as Markdown one claim, what became of it, the numbers behind that, and the rule."""
    claim = verdicts.set_index("number").loc[number]
    return (
        f"**{claim['claim']}** {badge(claim['verdict'])}\n\n{claim['sentence']} "
        f"{claim['paper']}\n\n*Rule.* {claim['rule']}"
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
