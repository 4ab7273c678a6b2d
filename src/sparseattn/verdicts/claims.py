"""The paper's claims as effects: what is compared, in which unit, and what is too small to matter.

An effect belongs to a *cell*, a classifier (encoder and alignment) on a task, and is positive where
it speaks for the claim. Each comes from one number a document and seed, paired where two
projections are compared; its interval is over documents and seeds. The smallest effect that matters
is stated here; these were set after the first runs had been seen, and judged by another rule.
`verdicts.judging` makes one word of the cells.

Projections are no cells of their own: they share the run under softmax they are held against, and
many have one seed. "Sparse" is sparsemax; only where a classifier was trained under no sparsemax
are its other sparse projections taken for it.

Where the importance of inputs is needed, the measure that decides is leave-one-out: it comes
near the decisive tokens wherever they are known (`verdicts.truth`), and every run has it. The
gradient times the embedding does so as well, and stands beside it where it was measured, as does
the paper's own measure, the length of the gradient, which does not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparseattn.data.owntexts import is_own
from sparseattn.measures.statistics import summarise, trend
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper, side_by_side
from sparseattn.verdicts.effects import papers_gaps
from sparseattn.verdicts.judging import judge, stance
from sparseattn.wording import classifier_names, label, signed, span

CELL = ["origin", "task", "encoder", "alignment"]
KEYS = [*CELL, "seed", "document"]
EFFECT = [
    *CELL, "classifier", "value", "low", "high", "se", "documents", "seeds", "stance", "unit",
    "smallest",
]  # fmt: skip
"""Columns of an effect: its cell, its value and interval, and what it says (`judging.stance`)."""
LOO, PRODUCT, PAPERS = "leave-one-out", "gradient · embedding", "the paper's gradient"
YARDSTICKS = {LOO: "loo", PRODUCT: "product", PAPERS: "gradient"}
Effects = Callable[[pd.DataFrame, str], pd.Series]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    number: int  # its place in the list, from 1
    statement: str  # in our words
    short: str  # the same in a few words, for a chart
    page: str  # the notebook that gives the evidence, by the subject in its name
    unit: str  # of the effect
    smallest: float  # effect that matters
    compared: str  # what the effect is, and what it being positive means
    yardsticks: Mapping[str, str]  # names of measures, and the column of each; the first decides
    effects: Effects  # measurements and such a column to effects, indexed by `KEYS`
    theirs: Callable[[], str]  # the paper's own numbers, in one sentence
    evidence: Literal["runs", "adversaries"] = "runs"  # whose measurements
    # The effect in the paper's own numbers, mean over its cells, where they have its unit.
    reported: Callable[[], float] = lambda: math.nan


def cells(
    measurements: pd.DataFrame,
    adversaries: pd.DataFrame | None = None,
    yardstick: str | None = None,
    numbers: Sequence[int] = range(1, 8),
) -> pd.DataFrame:
    """Return the effects of claims, all without `numbers`, one row a cell: `EFFECT` and ``number``.

    `measurements` have one row a run and document, with ``origin`` where live ones stand beside
    published ones; `adversaries` one an adversary and document (`results.frames.measurements`). By
    default the deciding measure of importance is the `yardstick`; claims that are not measured by
    the one named are left out.
    """
    frames = {
        kind: None if frame is None or frame.empty else named(frame)
        for kind, frame in (("runs", measurements), ("adversaries", adversaries))
    }
    parts = []
    for claim in CLAIMS:
        column = claim.yardsticks.get(yardstick or next(iter(claim.yardsticks)))
        frame = frames[claim.evidence]
        if claim.number in numbers and column and frame is not None and column in frame:
            found = by_cell(claim.effects(frame, column), claim.smallest, claim.unit)
            parts.append(found.assign(number=claim.number))
    return stacked(parts, [*EFFECT, "number"])


def stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Put frames below one another, those without rows passed over; of nothing, the columns."""
    known = [part for part in parts if len(part)]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=list(columns))


def by_cell(effects: pd.Series, smallest: float, unit: str) -> pd.DataFrame:
    """Return effects with their intervals and what they say, `EFFECT`, one row a cell.

    `effects` are one number for each of `KEYS`, its index; positive speaks for what is asked.
    `smallest` is the least that matters, in the same `unit`. A cell whose effect is undefined on
    every document is left out.
    """
    if not effects.notna().any():
        return pd.DataFrame(columns=EFFECT)
    rows = summarise(effects.rename(unit).reset_index(), CELL)
    rows = rows.rename(columns={"mean": "value"}).dropna(subset=["value"])
    rows = rows.assign(classifier=classifier_names(rows), smallest=smallest, unit=unit)
    said = [rows[name] for name in ("value", "low", "high", "smallest")]
    return rows.assign(stance=list(map(stance, *said, rows["seeds"] < 2)))[EFFECT].reset_index(
        drop=True
    )


def verdicts(effects: pd.DataFrame) -> pd.DataFrame:
    """Judge all claims on some cells, from `cells`: one row each.

    Columns ``number``, ``claim``, ``short``, ``page``, ``unit``, ``smallest``; what
    `verdicts.judging.judge` returns, among it ``verdict`` and ``counts``; that as a ``sentence``,
    and the ``paper``'s own numbers in another; and its effect as ``reported``.
    """
    rows = []
    for claim in CLAIMS:
        row: dict[str, Any] = {"number": claim.number, "claim": claim.statement}
        row |= {name: getattr(claim, name) for name in ("short", "page", "unit", "smallest")}
        row |= judge(effects[effects["number"] == claim.number], claim.smallest)
        theirs = {"paper": claim.theirs(), "reported": claim.reported()}
        rows.append({**row, "sentence": _sentence(row), **theirs})
    return pd.DataFrame(rows)


def deciding(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that decide: on own texts, if any; else published ones; else all.

    Rows have ``task``, and ``origin`` where live ones stand beside published ones.
    """
    own = rows["task"].map(is_own).astype(bool)
    if own.any():
        return rows[own]
    if "origin" not in rows:
        return rows
    live = rows["origin"].astype("str").str.endswith(side_by_side.LIVE)
    return rows if live.all() else rows[~live]


def stated() -> pd.DataFrame:
    """Return what each claim's effect is and what would be too small, one row each."""
    rows = pd.DataFrame([vars(claim) for claim in CLAIMS])
    deciding = [next(iter(claim.yardsticks)) for claim in CLAIMS]
    return rows[["number", "short", "compared", "unit", "smallest"]].assign(by=deciding)


def _sentence(verdict: Mapping[str, Any]) -> str:
    """Return one of `claims.verdicts` in numbers: its cells, its mean and what that leaves open."""
    if not verdict["counts"]:
        return "Not measured here."
    told = f"Cells: {verdict['counts']}."
    if pd.isna(verdict["value"]):
        return told
    places = "z.1f" if verdict["smallest"] >= 1 else "z.2f"
    value, low, high, least, most = (
        signed(verdict[name], places)
        for name in ("value", "low", "high", "predicted_low", "predicted_high")
    )
    sure = "" if low == "nan" else f", 95 % interval from {low} to {high}"
    further = "" if least == "nan" else f"; for one more classifier, from {least} to {most}"
    return (
        f"{told} On average {value} {verdict['unit']}{sure}{further}. Below "
        f"{verdict['smallest']:g} it does not matter."
    )


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return measurements under canonical names, with an ``origin``."""
    if "origin" not in frame:
        frame = frame.assign(origin=frame["task"].map(label))
    parts = [paper.unique(part) for _, part in frame.groupby("origin", sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else frame


def _under(frame: pd.DataFrame, sparse: bool) -> pd.DataFrame:
    """Return the rows under a sparse projection, see above, or those under softmax."""
    if not sparse:
        return frame[frame["projection"] == "softmax"]
    rows = frame[frame["projection"] != "softmax"]
    known = rows["projection"] == "sparsemax"
    return rows[known | ~_any_in_cell(rows, known)]


def _means(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return frame.groupby(KEYS, sort=False)[columns].mean()


def _under_both(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([_under(frame, False), _under(frame, True)])


def _any_in_cell(rows: pd.DataFrame, true: pd.Series) -> pd.Series:
    return true.groupby([rows[name] for name in CELL]).transform("any").astype(bool)


def pairs(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return columns under a sparse projection beside those under softmax (``…_even``).

    Of frames from `named`; indexed by `KEYS`, so paired by document and seed.
    """
    frame = frame.reindex(columns=[*KEYS, "projection", *columns])
    sparse, even = (_means(_under(frame, side), columns) for side in (True, False))
    return sparse.join(even.add_suffix("_even"), how="inner")


def _over_lambda(frame: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Return by how much values grow from the least λ to the largest, along λ's rank.

    The slope of least squares of each document and seed, over the λ it has, times the whole range:
    a sum of the values, so that runs of one seed count as one.
    """
    rows = frame.assign(value=values)[frame["lam"].notna()].dropna(subset=["value"])
    if rows.empty:
        return pd.Series(dtype=float)
    ranks = rows.groupby(CELL)["lam"].rank("dense")
    rows["x"] = (ranks - 1) / (ranks.groupby([rows[name] for name in CELL]).transform("max") - 1)
    rows["xx"], rows["xy"] = rows["x"] ** 2, rows["x"] * rows["value"]
    known = rows.groupby(KEYS, sort=False)[["x", "xx", "value", "xy"]].mean()
    spread = known["xx"] - known["x"] ** 2
    # A seed with another set of λ measures another slope.
    sizes = rows.groupby([*CELL, "seed"])["lam"].nunique().rename("size")
    most = sizes.groupby(CELL).max().rename("most")
    known = known.join(sizes, on=[*CELL, "seed"]).join(most, on=CELL)
    slope = (known["xy"] - known["x"] * known["value"]) / spread.where(spread > 1e-9)
    return slope.where(known["size"] == known["most"])


def _from_others(frame: pd.DataFrame, column: str) -> pd.Series:
    others = frame.assign(effect=100 * (0.5 - frame[column]))
    return _means(_under_both(others), ["effect"])["effect"]


def _stays_spread(frame: pd.DataFrame, column: str) -> pd.Series:
    both = pairs(frame, [column, "attention_effective", "length"])
    narrowing = both["attention_effective"] / both["attention_effective_even"]
    halfway = both[f"{column}_even"] * np.sqrt(narrowing)
    return 100 * (both[column] - halfway) / both["length"]


def _spreads(frame: pd.DataFrame, column: str) -> pd.Series:
    return _over_lambda(frame, 100 * frame[column] / frame["length"])


def _hidden_above_inputs(frame: pd.DataFrame, column: str) -> pd.Series:
    gap = frame.assign(effect=frame.get(column.replace("inputs", "hidden"), np.nan) - frame[column])
    even = gap["projection"] == "softmax"
    asked = pd.concat([gap[even], _under(gap[~_any_in_cell(gap, even)], True)])
    return _means(asked, ["effect"])["effect"]


def _falls(frame: pd.DataFrame, column: str) -> pd.Series:
    return -_over_lambda(frame, frame[column])


def _costs_more_frozen(frame: pd.DataFrame, column: str) -> pd.Series:
    frame = frame[frame["adversary"].isin(["frozen", "unfrozen"])]
    if (frame["pressure"] == PRESSURE).any():
        frame = frame[frame["pressure"] == PRESSURE]
    keys = [*KEYS, "projection"]
    sides = _under_both(frame).pivot_table(column, keys, "adversary", sort=False)
    if not {"frozen", "unfrozen"} <= set(sides):
        return pd.Series(dtype=float)
    return (100 * (sides["unfrozen"] - sides["frozen"])).dropna().groupby(KEYS, sort=False).mean()


def _agrees_less(frame: pd.DataFrame, column: str) -> pd.Series:
    both = pairs(frame, [column])
    return both[f"{column}_even"] - both[column]


def _of_table2() -> str:
    return (
        "The paper's own Table 2 has correlations of dispersion with λ of "
        f"{span(paper.table2()['value'])}, where larger λ is sparser."
    )


def _of_figure3() -> str:
    values = [
        trend(one["lam"].to_numpy(), one["value"].to_numpy(), np.zeros(len(one))).value
        for _, one in paper.figure3().groupby(["encoder", "alignment", "quantity"])
    ]
    return (
        f"The paper's Figure 3 has correlations with λ of {span(values)}, falling in "
        f"{sum(value < 0 for value in values)} of {len(values)} series (IMDb)."
    )


def _of_table5() -> str:
    rows = paper.table5().query("quantity == 'accuracy_change'")
    by = {name: span(part["value"]) for name, part in rows.groupby("adversary")}
    return (
        f"The paper's Table 5 has a change of accuracy of {by['frozen']} with frozen parameters "
        f"and {by['unfrozen']} retrained."
    )


def _of_table6() -> str:
    gaps = dict(list(papers_gaps().groupby("projection")["value"]))
    return (
        f"The paper's Table 6 has differences of {span(gaps['softmax'])} under softmax and of "
        f"{span(gaps['sparsemax'])} under sparsemax."
    )


def _reported_gap() -> float:
    known = papers_gaps().query("quantity == 'gap_loo' and projection == 'softmax'")
    return float(known["value"].mean())


def _reported_fall() -> float:
    curves = paper.figure3().query("quantity == 'tau_inputs_loo'").assign(origin="", seed=0)
    return -float(_over_lambda(curves.assign(document=0), curves["value"]).mean())


def _reported_cost() -> float:
    rows = paper.table5().query("quantity == 'accuracy_change'")
    means = rows.groupby("adversary")["value"].mean()
    return float(100 * (means["unfrozen"] - means["frozen"]))


def _reported_less() -> float:
    rows = paper.table6().query("quantity == 'tau_inputs_loo'")
    means = rows.groupby("projection")["value"].mean()
    return float(means["softmax"] - means["sparsemax"])


def _by(column: str) -> dict[str, str]:
    return {name: column.format(kind) for name, kind in YARDSTICKS.items()}


TAU = "τ"
TIES = {
    f"{LOO} over the ceiling of τ-b": "tau_relative_inputs_loo",
    f"{LOO} in the first tenth": "precision_inputs_loo",
}
OF_TOKENS = "points of the tokens"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        1,
        "A hidden state is not interchangeable with its input: the influence of the inputs on it "
        "is spread out, for every task, encoder and projection.",
        "A state is not its word",
        "hidden-states",
        "points of influence",
        5.0,
        "The share of the influence on a state that comes from inputs at other places, less one "
        "half; mean over softmax and sparsemax. Above zero, a state owes more to other words than "
        "to its own.",
        {"the paper's influence": "influence_self_share"},
        _from_others,
        lambda: f"The paper's Table 1 has a dispersion of {span(paper.table1()['value'])}.",
    ),
    Claim(
        2,
        "Sparse attention does not make the importance of inputs sparse: it stays spread out "
        "whatever the projection.",
        "Importance does not follow attention",
        "dispersion",
        OF_TOKENS,
        5.0,
        "From softmax to sparsemax: the share of the tokens over which importance is spread, less "
        "what it would be had it followed attention half-way (where attention narrows to a "
        "quarter of its tokens, importance to half). Above zero, it narrows less than that.",
        _by("effective_inputs_{}"),
        _stays_spread,
        lambda: (
            f"The paper's Figure 2 has medians of dispersion of {span(paper.figure2()['value'])}."
        ),
    ),
    Claim(
        3,
        "The sparser attention is, the more the importance of inputs is spread out.",
        "Importance spreads with λ",
        "dispersion",
        OF_TOKENS,
        5.0,
        "From the least λ to the largest, along its rank: by how much the share of the tokens "
        "grows over which importance is spread.",
        _by("effective_inputs_{}"),
        _spreads,
        _of_table2,
    ),
    Claim(
        4,
        "Attention agrees more with the importance of hidden states than with that of inputs, in "
        "all models.",
        "Agrees more with states than inputs",
        "agreement",
        TAU,
        0.05,
        "Agreement (τ-b) of attention with hidden states less that with inputs, under softmax. "
        "Under sparsemax it is so partly by construction: a state of weight zero has no "
        "importance.",
        {LOO: "tau_inputs_loo", PAPERS: "tau_inputs_gradient"},
        _hidden_above_inputs,
        _of_table6,
        reported=_reported_gap,
    ),
    Claim(
        5,
        "The sparser attention is, the less it agrees with the importance of inputs.",
        "Agreement falls with λ",
        "agreement",
        TAU,
        0.05,
        "From the least λ to the largest, along its rank: by how much agreement with inputs "
        "(τ-b) falls.",
        _by("tau_inputs_{}") | TIES,
        _falls,
        _of_figure3,
        reported=_reported_fall,
    ),
    Claim(
        6,
        "Attention can be made to diverge at no cost in accuracy when the model is retrained, but "
        "not when its other parameters are frozen.",
        "Diverging costs more when frozen",
        "adversary",
        "points of accuracy",
        2.5,
        "The accuracy that a retrained adversary has beyond a frozen one of the same base; mean "
        "over softmax and sparsemax where both have adversaries. Whether retraining costs nothing "
        "is not judged.",
        {"accuracy": "accuracy_change"},
        _costs_more_frozen,
        _of_table5,
        "adversaries",
        _reported_cost,
    ),
    Claim(
        7,
        "Overall, sparsity makes attention no more, perhaps less, plausible as an explanation.",
        "Sparse attention agrees less",
        "paper",
        TAU,
        0.05,
        "From softmax to sparsemax: by how much agreement with the importance of inputs falls "
        "(τ-b). Above zero is “less plausible”, negligible “no more”.",
        _by("tau_inputs_{}") | TIES,
        _agrees_less,
        lambda: "",
        reported=_reported_less,
    ),
)
