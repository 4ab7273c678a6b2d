"""The front page: the answer in a few sentences, and how much of the paper came out again."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.tables import claim_anchor
from sparseattn.data.owntexts import is_own
from sparseattn.results import paper, published
from sparseattn.verdicts import claims, question
from sparseattn.verdicts.departures import NOT_STATED, departures
from sparseattn.verdicts.judging import STANCES, mean_over
from sparseattn.verdicts.replication import progress
from sparseattn.wording import label, listed, signed, span

_NAMES = {"attention_effective": "attention", "effective_inputs_loo": "importance of inputs"}
_NARROWER = 0.05
"""The least change, in logarithms of the effective number of tokens, that matters."""
_ANSWERS = {
    "holds": "No: sparse attention agrees less with what matters to the output",
    "holds on average": "Rather not: sparse attention agrees less with what matters to the output, "
    "on average",
    "not reversed": "Not more, at least: whether sparse attention agrees as much with what matters "
    "to the output, or less, cannot be told from these data",
    "negligible": "No: sparse attention agrees with what matters to the output as much as softmax "
    "does",
    "mixed": "Not in general: under sparse attention some classifiers agree more with what matters "
    "to the output, others less",
    "does not hold": "No less, at least: whether sparse attention agrees as much with what matters "
    "to the output, or more, cannot be told from these data",
    "reversed on average": "Somewhat: sparse attention agrees more with what matters to the "
    "output, on average",
    "reversed": "Yes, in this respect: sparse attention agrees more with what matters to the "
    "output",
    "too few data": "Not certain: whether sparse attention agrees more with what matters to the "
    "output cannot be told from these data",
    "not measured here": "No answer here: this needs softmax and a sparse projection",
}
_WORDS = {
    "holds": ("holds", "hold"),
    "holds on average": ("holds on average", "hold on average"),
    "not reversed": ("is not reversed", "are not reversed"),
    "mixed": ("is mixed", "are mixed"),
    "negligible": ("is a difference too small to matter", "are differences too small to matter"),
    "does not hold": ("does not hold", "do not hold"),
    "reversed on average": ("is reversed on average", "are reversed on average"),
    "reversed": ("is reversed", "are reversed"),
    "too few data": ("has too few data", "have too few data"),
    "not measured here": ("is not measured here", "are not measured here"),
}


def published_beside(task: str) -> list[str]:
    """Return the published tasks that stand beside a live one; none beside own texts."""
    if is_own(task):
        return []
    return [name for name in paper.TASKS if name in published.tasks()]


def answer(frame: pd.DataFrame, verdicts: pd.DataFrame, readings: pd.DataFrame) -> str:
    """Return the answer as Markdown: its word, its size, and how sure it is.

    The word is that of claim 7, which compares agreement under softmax and under sparsemax, in
    `claims.verdicts` of the measurements that decide (`claims.deciding`). `readings` are claim 7 by
    every measure there is (`answers.by_yardstick`); the first is the one told.
    """
    row = verdicts.set_index("number").loc[7]
    told = f"**{_ANSWERS[row['verdict']]}.** "
    narrowed = narrowing(claims.deciding(frame)).set_index("of")
    if len(narrowed):
        attention, importance = (_share(narrowed.loc[name]) for name in _NAMES.values())
        told += (
            f"Under sparsemax, attention spreads over {attention} as many tokens as under softmax, "
            f"the importance of the tokens (by leave-one-out) over {importance}. "
        )
    if pd.notna(row["value"]):
        # The claim is that agreement falls; here it is told as it changes.
        ends = ("value", "high", "low", "predicted_high", "predicted_low")
        value, low, high, least, most = (signed(-row[name], "+.2f") for name in ends)
        sure = "" if pd.isna(row["low"]) else f"95 % interval {low} to {high}; "
        if pd.notna(row["predicted_low"]):
            sure += f"for one more cell it may be anything from {least} to {most}; "
        told += (
            f"Agreement between the two changes by {value} τ on average ({sure}"
            f"{row['smallest']:g} would matter): of {sum(row[name] for name in STANCES)} cells, "
            f"each a classifier on a task, it rises in {row['against']} and falls in {row['for']}. "
        )
    known = ~readings["verdict"].isin(["not measured here", "too few data"])
    others = readings.iloc[1:][known.iloc[1:]].groupby("verdict", sort=False)["by"]
    if len(others):
        words = [f"{word} ({'; '.join(names)})" for word, names in others]
        told += f"By other measures, the claim that it falls is {listed(words)}. "
    return told + tally(verdicts)


def tally(verdicts: pd.DataFrame) -> str:
    """Say what became of how many claims: ``Of the paper's 7 claims, 3 hold (1, 2 and 4), …``."""
    told = []
    for word, (one, many) in _WORDS.items():
        numbers = verdicts.loc[verdicts["verdict"] == word, "number"]
        if len(numbers):
            named = listed([str(number) for number in numbers])
            told.append(f"{len(numbers)} {one if len(numbers) == 1 else many} ({named})")
    return f"Of the paper's {len(verdicts)} claims, {listed(told)}."


def rows(cells: pd.DataFrame, pages: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return deciding effects and their means for `charts.forest`, a row a claim.

    The effects are from `claims.cells`; `pages` are the names of the notebooks there are.
    """
    found = claims.verdicts(cells)
    named = found["number"].astype(str) + " " + found["short"]
    page = [
        next((f"{one}.html#{claim_anchor(number)}" for one in pages if name in one), None)
        for name, number in zip(found["page"], found["number"], strict=True)
    ]
    cells = cells.assign(row=cells["number"].map(dict(zip(found["number"], named, strict=True))))
    return cells, found.assign(row=named, page=page)


def figure(
    better: pd.DataFrame, decisive: pd.DataFrame, pages: Sequence[str]
) -> charts.Figure | Markdown:
    """Draw the tests of the question (`question.cells`), and below them the claims."""
    parts = [question.rows(better, "05-truth"), rows(decisive, pages)]
    known = [part for part in parts if len(part[1])] or parts[:1]
    return charts.show(
        charts.forest,
        *(pd.concat(frames, ignore_index=True) for frames in zip(*known, strict=True)),
        sides=("against", "for"),
        name="answer",
        caption="Above, the question: by how much sparsemax attention passes each test better than "
        "softmax attention; below, the paper's claims. Each is one effect of every classifier on "
        "every task, in units of the smallest effect that would matter: right of the grey band it "
        "speaks for what the row says, left of it against, if its interval excludes zero. A click "
        "leads to the evidence.",
        missing="This build holds nothing to judge by.",
    )


def by_source(cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the verdicts of `claims.verdicts` together, and on each origin by itself."""
    each = {
        str(origin): claims.verdicts(part) for origin, part in cells.groupby("origin", sort=False)
    }
    together = {"together": claims.verdicts(claims.deciding(cells))}
    return each if len(each) == 1 else together | each


def reproduced(
    replicated: pd.DataFrame, ledger: pd.DataFrame, verdicts: pd.DataFrame, yardstick: str
) -> str:
    """Return a summary of the replication as Markdown: scope, what holds, what was easy, or hard.

    From `replication.replicate`, of the tasks that stand on the page, the `ledger` of their
    published runs, and `claims.verdicts`; `yardstick` is what is said of the measures of importance
    where the truth is known.
    """
    known = replicated[replicated["here"].notna()]
    if known.empty:
        return "Nothing here is about the paper's own tasks."
    count = known["verdict"].value_counts()
    items = progress(replicated).query("measured > 0")
    best, worst, unsure = (
        items.loc[(items[verdict] / items["measured"]).idxmax()]
        for verdict in ("same", "different", "undecided")
    )
    word = verdicts.set_index("number")["verdict"]
    open_ones = [departure for departure in departures() if NOT_STATED in departure.paper]
    single = int(verdicts["one seed"].sum())
    tasks = listed([label(name) for name in paper.TASKS if name in set(ledger["task"])])
    holding = [_named(verdicts, number) for number in word.index[word.str.startswith("holds")]]
    asked = word.index[~word.str.startswith("holds") & (word != "not measured here")]
    failing = [_named(verdicts, number) for number in asked]
    return "\n".join(
        [
            f"- **Scope.** {len(known)} of the paper's {len(replicated)} numbers, from "
            f"{len(ledger)} runs on {tasks}: {count.get('same', 0)} come out the same, "
            f"{count.get('different', 0)} different, {count.get('undecided', 0)} undecided: their "
            "intervals reach from what would be the same to what would not.",
            f"- **What holds.** {_sentence(holding)} Of the tables and figures, {best['item']} "
            f"comes closest ({best['same']} of {best['measured']} numbers the same).",
            f"- **What does not, or is not known.** {_sentence(failing)} Most often different: "
            f"{worst['item']} ({worst['different']} of {worst['measured']}); most often undecided: "
            f"{unsure['item']} ({unsure['undecided']} of {unsure['measured']}).",
            "- **What was easy.** The three corpora are public, the classifiers small: half of the "
            "runs, with all their measures, took less than "
            f"{ledger['seconds'].median():.0f} seconds.",
            f"- **What was hard.** {len(open_ones)} choices are not stated in the paper "
            f'(<a href="10-deviations.html">departures</a>); {single} of the claims\' effects '
            f"in the chart rest on one seed. {yardstick}",
        ]
    )


def narrowing(measurements: pd.DataFrame) -> pd.DataFrame:
    """Return the effective numbers of tokens under sparsemax as shares of those under softmax.

    One row each for attention and for the importance of inputs by leave-one-out: ``of``, ``mean``,
    and the ends ``low`` and ``high`` of its interval; no row without both projections. Geometric
    means of pairs of document and seed, and over classifiers as every mean of effects
    (`verdicts.judging.mean_over`); with one seed everywhere plain means, without an interval.
    """
    rows = []
    both = claims.pairs(claims.named(measurements), list(_NAMES))
    for name, of in _NAMES.items():
        logs = np.log(both[name] / both[f"{name}_even"])
        found = claims.by_cell(logs, _NARROWER, "")
        if len(found):
            mean = mean_over(found, _NARROWER)
            value = mean.value if (found["seeds"] > 1).any() else found["value"].mean()
            shares = np.exp([value, mean.low, mean.high])
            rows.append(dict(zip(["of", "mean", "low", "high"], [of, *shares], strict=True)))
    return pd.DataFrame(rows, columns=["of", "mean", "low", "high"])


def _share(row: pd.Series) -> str:
    sure = "" if pd.isna(row["low"]) else f" [{span([row['low'], row['high']], '.0%')}]"
    return f"{row['mean']:.0%}{sure}"


def _named(verdicts: pd.DataFrame, number: int) -> str:
    row = verdicts.set_index("number").loc[number]
    word = "" if row["verdict"] == "holds" else f": {row['verdict']}"
    return f"{number} “{row['short']}”{word}"


def _sentence(named: Sequence[str]) -> str:
    return f"Claims: {'; '.join(named)}." if named else "No claim."
