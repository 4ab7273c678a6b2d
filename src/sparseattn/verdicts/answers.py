"""What the verdicts come to: the report's answer in a few sentences, and each page's."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.tables import badge, claim_anchor
from sparseattn.data.owntexts import is_own
from sparseattn.verdicts import claims, effects
from sparseattn.wording import listed, span, verbatim

RULE = '<a href="../measures.html#measures-verdicts">How a claim is judged</a>.'


def by_origin(cells: pd.DataFrame) -> pd.DataFrame:
    """Judge each claim on each origin by itself, live ones too: as `claims.verdicts`, `origin`."""
    keys = ["number", "origin"]
    parts = [
        claims.verdicts(part).query("number == @number").assign(origin=origin)
        for (number, origin), part in cells.groupby(keys, sort=False)
    ]
    return claims.stacked(parts, keys)


def rows(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return effects and their means for `charts.forest`: a row a claim and origin.

    The paper's own effect, which is over its tasks, stands beside none of them.
    """
    found = by_origin(cells)
    if found.empty:
        return cells.assign(row=cells["origin"]), found.assign(row=found["origin"])
    means = found.assign(row=_row(found), page=None).drop(columns="reported")
    return cells.assign(row=_row(cells)), means


def figure(cells: pd.DataFrame) -> charts.Figure | Markdown:
    """Draw the effects of a page's claims and their means."""
    return charts.show(
        charts.forest,
        *rows(cells),
        name="answer",
        caption=f"{in_short(cells)} Each point is a classifier: right of the grey band it speaks "
        "for the claim, left of it against, if its interval excludes zero.",
        missing="Nothing here to judge the claim by.",
    )


def in_short(cells: pd.DataFrame) -> str:
    """Say what became of each claim on each origin: ``Claim 4 holds on SST, is mixed on …``."""
    told = []
    for number, part in by_origin(cells).groupby("number", sort=False):
        words = part.groupby("verdict", sort=False)["origin"].agg(list)
        each = [f"{word} on {listed(origins)}" for word, origins in words.items()]
        told.append(f"Claim {number}: {', '.join(each)}.")
    return " ".join(told) or "Nothing was measured."


def _row(frame: pd.DataFrame) -> pd.Series:
    return "Claim " + frame["number"].astype(str) + ", " + frame["origin"].astype(str)


def opening(cells: pd.DataFrame, numbers: Sequence[int], frame: pd.DataFrame) -> str:
    """Return a page's claims `in_full`, and what is to be said of `own_texts`."""
    return "\n\n".join([*(in_full(cells, number) for number in numbers), own_texts(frame)])


def in_full(cells: pd.DataFrame, number: int) -> str:
    """Return as Markdown one claim, what became of it and by how much, and how it is judged.

    `cells` are from `claims.cells`; those of `claims.deciding` decide.
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
        f'<span id="{claim_anchor(number)}"></span>'
        f"**{claim.statement}** {badge(row['verdict'])}\n\n{row['sentence']}{apart}"
        + (f" {row['paper']}" if row["paper"] else "")
        + f"\n\n*What is compared.* {claim.compared}{by} {RULE}"
    )


def under_sparsemax(frame: pd.DataFrame, number: int) -> str:
    """Say what becomes of a claim that is judged under softmax if sparsemax alone is asked."""
    decisive = claims.named(claims.deciding(frame))
    sparse = decisive[decisive["projection"] == "sparsemax"]
    found = claims.cells(sparse, numbers=[number])
    row = claims.verdicts(found).set_index("number").loc[number]
    if not row["counts"]:
        return ""
    return f"Under sparsemax claim {number}: *{row['verdict']}*. {row['sentence']}"


def by_yardstick(frame: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    """Judge some claims by each measure of importance there is: as `claims.verdicts`, ``by``."""
    decisive = claims.deciding(frame)
    chosen = [claim for claim in claims.CLAIMS if claim.number in numbers]
    names = dict.fromkeys(name for claim in chosen for name in claim.yardsticks)
    rows = []
    for name in names:
        found = claims.verdicts(claims.cells(decisive, None, name, numbers)).assign(by=name)
        known = [claim.number for claim in chosen if name in claim.yardsticks]
        rows.append(found[found["number"].isin(known)])
    return pd.concat(rows).sort_values("number", kind="stable", ignore_index=True)


def own_texts(frame: pd.DataFrame) -> str:
    """Say of a page on the user's own texts that these alone decide, and how accurate it is.

    Of measurements with ``label`` and ``correct``; empty where the page has no own texts.
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

    From :func:`verdicts.effects.under_sparsemax`; without rows there is nothing to say.
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


def narrowed(realised: pd.DataFrame) -> str:
    """Say over which share of the tokens attention is spread at either end of λ."""
    line = effects.ends(realised, effects.WHERE)
    if line.empty:
        return ""
    return (
        f"At the lowest λ, attention is spread over {span(line['first'], '.0%')} of the tokens; at "
        f"the highest, over {span(line['last'], '.0%')}. The same λ is not the same sparsity."
    )
