"""The paper's claims, in our words, each with the rule by which it is judged.

- A claim about *every* model is judged cell by cell on an interval over documents and seeds
  (:func:`measures.statistics.estimate`). It is supported when each cell supports it at 95 %
  (an intersection–union test needs no correction), contradicted when at least one of the k cells
  contradicts it at the level 1 − .05/k (Bonferroni), else undecided.
- A claim about a *trend* in λ is judged series by series on the rank correlation over runs, at the
  level 1 − .05/k. It is supported when it is somewhere and contradicted nowhere, contradicted when
  it is contradicted somewhere and supported nowhere, else undecided.
- The claim about *adversaries* is judged cell by cell like the first kind, each cell on two
  intervals: of the divergence, and of the change of accuracy.

References
----------
Berger (1982), Multiparameter hypothesis testing and acceptance sampling, Technometrics 24(4).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from sparseattn.measures.nulls import null_dispersion
from sparseattn.measures.statistics import correlate, correlation_interval, direction, summarise
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper
from sparseattn.wording import span

Outcome = Literal["supported", "contradicted", "undecided", "not measured here"]
KINDS = ("gradient", "loo")
SERIES = ["task", "encoder", "alignment"]
COST = 0.025
"""A loss of accuracy that matters; the tolerance of the accuracies, too."""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    outcome
        ``supported``, ``contradicted``, ``undecided`` or ``not measured here``.
    sentence
        The numbers behind it, in one or two sentences.
    cells
        What was judged: a row a cell (or series) and quantity, with ``value``, ``low``, ``high``
        and ``verdict``; empty when nothing was.
    paper
        The paper's own numbers, in one sentence; empty where it has none.
    """

    outcome: Outcome
    sentence: str
    cells: pd.DataFrame
    paper: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes
    ----------
    number
        Its place in the list, from 1.
    statement
        The claim, in our words.
    page
        The notebook that gives the evidence, by the subject in its name.
    items
        The paper's tables and figures that it rests on.
    quantities
        The columns of the measurements that decide it.
    rule
        How it is judged, in words.
    judge
        The rule itself: measurements (one row a run and document) to a verdict.
    evidence
        Which measurements: of the runs, or of the ``adversaries``.
    """

    number: int
    statement: str
    page: str
    items: tuple[str, ...]
    quantities: tuple[str, ...]
    rule: str
    judge: Callable[[pd.DataFrame], Verdict]
    evidence: Literal["runs", "adversaries"] = "runs"


def verdicts(measurements: pd.DataFrame, adversaries: pd.DataFrame | None = None) -> pd.DataFrame:
    """Judge all claims: one row each.

    Its columns are ``number, claim, verdict, sentence, paper, rule, page``.

    Parameters
    ----------
    measurements
        One row for each run and document.
    adversaries
        One row for each adversary and document (`results.frames.measurements`), where
        there are any.
    """
    frames = {
        "runs": measurements,
        "adversaries": pd.DataFrame() if adversaries is None else adversaries,
    }
    rows = []
    for claim in CLAIMS:
        verdict = claim.judge(frames[claim.evidence])
        rows.append(
            {
                "number": claim.number,
                "claim": claim.statement,
                "verdict": verdict.outcome,
                "sentence": verdict.sentence,
                "paper": verdict.paper,
                "rule": claim.rule,
                "page": claim.page,
            }
        )
    return pd.DataFrame(rows)


def _influence_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    theirs = f"The paper's Table 1 has {span(paper.table1()['value'])}."
    return _dispersed(measurements, ["influence_dispersion"], theirs)


def _importance_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    theirs = f"The paper's Figure 2 has medians of {span(paper.figure2()['value'])}."
    if "projection" in measurements:
        measurements = measurements[measurements["projection"] != "softmax"]
    return _dispersed(measurements, _names("dispersion_inputs"), theirs)


def _dispersed(measurements: pd.DataFrame, quantities: list[str], theirs: str) -> Verdict:
    """Judge whether dispersion is nearer to noise than to a single input, in every cell."""
    frame = _usable(measurements, [*quantities, "length"])
    if frame is None:
        return _not_measured(theirs)
    noise = null_dispersion(frame["length"].to_numpy())
    above = frame.assign(**{name: frame[name] - noise / 2 for name in quantities})
    cells = _judge_cells(above, quantities, "above")
    # Shown as measured, judged as the excess over half of noise's.
    shown = summarise(frame, _cell(frame), quantities)
    cells = cells.rename(columns={name: f"excess_{name}" for name in ("value", "low", "high")})
    cells.insert(len(_cell(frame)) + 1, "value", shown["mean"])
    of_noise = pd.Series(noise).groupby(frame["task"].to_numpy()).mean()
    sentence = (
        f"Mean dispersion {span(cells['value'])} in {_extent(cells)}, where one input alone gives "
        f"0 and noise {span(of_noise)}: "
        f"{_tally(cells, 'nearer to noise', 'nearer to one input')}."
    )
    return Verdict(_everywhere(cells), sentence, cells, theirs)


def _dispersion_grows(measurements: pd.DataFrame) -> Verdict:
    theirs = (
        f"The paper's own Table 2 has correlations of {span(paper.table2()['value'])}, "
        "where larger λ is sparser."
    )
    return _trend(measurements, ["dispersion_inputs_gradient"], "above", theirs)


def _agreement_falls(measurements: pd.DataFrame) -> Verdict:
    series = paper.figure3().groupby(["encoder", "alignment", "quantity"])
    theirs = pd.Series(
        [
            correlation_interval(one["lam"].to_numpy(), one["value"].to_numpy()).value
            for _, one in series
        ]
    )
    sentence = (
        f"The paper's Figure 3 has correlations of {span(theirs)}, falling in "
        f"{(theirs < 0).sum()} of {len(theirs)} series (IMDb)."
    )
    return _trend(measurements, _names("tau_inputs"), "below", sentence)


def _trend(
    measurements: pd.DataFrame,
    quantities: list[str],
    claimed: Literal["above", "below"],
    theirs: str,
) -> Verdict:
    """Judge the sign of the correlation with λ, series by series."""
    frame = _usable(measurements, quantities)
    if frame is None or frame["lam"].nunique() < 2:
        return _not_measured(theirs)
    # A series is one model, so entmax's α and softmax, which have no λ, are no part of it.
    frame = frame[frame["lam"].notna()]
    many = len(frame[SERIES].drop_duplicates()) * len(quantities)
    cells = correlate(frame, SERIES, "lam", quantities, level=1 - 0.05 / many)
    cells = _with_verdict(cells.rename(columns={"correlation": "value"}), claimed)
    rise_or_fall = ("growing", "falling") if claimed == "above" else ("falling", "growing")
    sentence = (
        f"Rank correlation with λ {span(cells['value'])} in {len(cells)} series of "
        f"{span(cells['points'], '.0f')} runs: {_tally(cells, *rise_or_fall)}."
    )
    return Verdict(_on_balance(cells), sentence, cells, theirs)


def _hidden_above_inputs(measurements: pd.DataFrame) -> Verdict:
    # Not by λ, which softmax lacks.
    wide = paper.table6().pivot_table("value", paper.CELL[:4], "quantity")
    gaps = pd.concat([wide[f"tau_hidden_{kind}"] - wide[f"tau_inputs_{kind}"] for kind in KINDS])
    theirs = (
        f"The paper's Table 6 has differences of {span(gaps)}, above zero in {(gaps > 0).sum()} "
        f"of {len(gaps)} cells."
    )
    frame = _usable(measurements, _names("tau_hidden") + _names("tau_inputs"))
    if frame is None:
        return _not_measured(theirs)
    gap = {
        f"tau_hidden_minus_inputs_{kind}": frame[f"tau_hidden_{kind}"] - frame[f"tau_inputs_{kind}"]
        for kind in KINDS
    }
    cells = _judge_cells(frame.assign(**gap), list(gap), "above")
    sentence = (
        f"τ-b with hidden states less τ-b with inputs, paired by document, is "
        f"{span(cells['value'])} in {_extent(cells)}: "
        f"{_tally(cells, 'higher with hidden states', 'higher with inputs')}."
    )
    return Verdict(_everywhere(cells), sentence, cells, theirs)


def _diverges_at_no_cost(adversaries: pd.DataFrame) -> Verdict:
    """Judge retrained and frozen adversaries, each cell on its divergence and its cost."""
    change = paper.table5().query("quantity == 'accuracy_change'")
    by = {name: span(part["value"]) for name, part in change.groupby("adversary")}
    theirs = (
        f"The paper's Table 5 has a change of accuracy of {by['frozen']} with frozen parameters "
        f"and {by['unfrozen']} retrained."
    )
    kinds = ["unfrozen", "frozen"]
    if adversaries.empty or not set(kinds) <= set(adversaries["adversary"]):
        return _not_measured(theirs)
    frame = adversaries[adversaries["adversary"].isin(kinds)]
    if (frame["pressure"] == PRESSURE).any():
        frame = frame[frame["pressure"] == PRESSURE]
    cells = _judge_adversaries(paper.canonical(frame))
    told = []
    for kind, start in zip(kinds, ("Retrained", "With frozen parameters"), strict=True):
        part = cells[cells["adversary"] == kind]
        words = ("at no cost", "at a cost, or not diverging")
        words = words if kind == "unfrozen" else ("at a cost", "at no cost")
        told.append(
            f"{start}, attention diverges by {span(part['jsd'])} nats (of at most "
            f"{math.log(2):.2f}) and accuracy changes by {span(part['value'], '.3f')} in "
            f"{_extent(part)}: {_tally(part, *words)}."
        )
    return Verdict(_everywhere(cells), " ".join(told), cells, theirs)


def _judge_adversaries(frame: pd.DataFrame) -> pd.DataFrame:
    by = [*_cell(frame), "adversary", "pressure"]
    many = len(frame[by].drop_duplicates())
    quantities = ["accuracy_change", "jsd"]
    sides = []
    for level in (0.95, 1 - 0.05 / many):
        summary = summarise(frame, by, quantities, level=level)
        change, jsd = (
            summary[summary["quantity"] == name].reset_index(drop=True) for name in quantities
        )
        diverges = jsd["low"] > math.log(2) / 2
        free = change["low"] > -COST
        retrained = change["adversary"] == "unfrozen"
        holds = diverges & free.where(retrained, (change["high"] < 0) & ~free)
        fails = (jsd["high"] < math.log(2) / 2) | (change["high"] < -COST)
        fails = fails.where(retrained, diverges & free)
        sides.append((change, jsd, holds, fails))
    (change, jsd, holds, _), (_, _, _, fails) = sides
    cells = change.rename(columns={"mean": "value"}).assign(
        jsd=jsd["mean"],
        jsd_low=jsd["low"],
        jsd_high=jsd["high"],
        verdict=np.select([holds, fails], ["supported", "contradicted"], "undecided"),
    )
    keep = ["quantity", "value", "low", "high", "jsd", "jsd_low", "jsd_high"]
    return cells[[*by, *keep, "documents", "seeds", "verdict"]]


def _no_more_plausible(measurements: pd.DataFrame) -> Verdict:
    parts = {
        claim.number: claim.judge(measurements).outcome
        for claim in CLAIMS
        if claim.number in (2, 5)
    }
    outcomes = set(parts.values())
    sentence = "; ".join(f"claim {number} is {outcome}" for number, outcome in parts.items()) + "."
    outcome: Outcome = "undecided"
    if "not measured here" in outcomes:
        outcome = "not measured here"
    elif "contradicted" in outcomes:
        outcome = "contradicted"
    elif outcomes == {"supported"}:
        outcome = "supported"
    return Verdict(outcome, sentence[0].upper() + sentence[1:], pd.DataFrame())


NEARER = (
    "In every cell the interval of the mean lies above half of what noise of the same lengths "
    "gives, that is, dispersion is nearer to noise than to a single input."
)
TREND = (
    "A series (a task, encoder and alignment, over λ) is for the claim when the interval of its "
    "rank correlation over runs lies {side} zero, and against it when on the other side. "
    "Supported: some are for, none against; contradicted: some against, none for; else undecided."
)
CLAIMS: tuple[Claim, ...] = (
    Claim(
        1,
        "A hidden state is not interchangeable with its input: the influence of the inputs on it "
        "is spread out, for every task, encoder and projection.",
        "hidden-states",
        ("Table 1",),
        ("influence_dispersion",),
        NEARER,
        _influence_is_dispersed,
    ),
    Claim(
        2,
        "Sparse attention does not make the importance of inputs sparse: it stays spread out "
        "whatever the projection.",
        "dispersion",
        ("Figure 2",),
        ("dispersion_inputs_gradient", "dispersion_inputs_loo"),
        NEARER + " Sparse projections only.",
        _importance_is_dispersed,
    ),
    Claim(
        3,
        "The sparser attention is, the more the importance of inputs is spread out.",
        "dispersion",
        ("Table 2",),
        ("dispersion_inputs_gradient",),
        TREND.format(side="above"),
        _dispersion_grows,
    ),
    Claim(
        4,
        "Attention agrees more with the importance of hidden states than with that of inputs, in "
        "all models.",
        "agreement",
        ("Table 6", "Figure 1", "Figure 4"),
        ("tau_hidden_gradient", "tau_inputs_gradient", "tau_hidden_loo", "tau_inputs_loo"),
        "In every cell the interval of the paired difference of τ-b lies above zero, for gradient "
        "and for leave-one-out.",
        _hidden_above_inputs,
    ),
    Claim(
        5,
        "The sparser attention is, the less it agrees with the importance of inputs.",
        "agreement",
        ("Figure 3",),
        ("tau_inputs_gradient", "tau_inputs_loo"),
        TREND.format(side="below"),
        _agreement_falls,
    ),
    Claim(
        6,
        "Attention can be made to diverge at no cost in accuracy when the model is retrained, but "
        "not when its other parameters are frozen.",
        "adversary",
        ("Table 5",),
        ("jsd", "accuracy_change"),
        "Retrained, in every cell the interval of the divergence lies above half of its maximum, "
        f"ln 2, and that of the change of accuracy above −{COST:g}; frozen, the divergence "
        "likewise, and the interval of the change below zero, not wholly within "
        f"{COST:g} of it.",
        _diverges_at_no_cost,
        "adversaries",
    ),
    Claim(
        7,
        "Overall, sparsity makes attention no more, perhaps less, plausible as an explanation.",
        "paper",
        (),
        (),
        "Supported when claims 2 and 5 are, contradicted when either is contradicted.",
        _no_more_plausible,
    ),
)


def _names(prefix: str) -> list[str]:
    return [f"{prefix}_{kind}" for kind in KINDS]


def _usable(measurements: pd.DataFrame, quantities: Sequence[str]) -> pd.DataFrame | None:
    """Return the runs under canonical names, or None where a quantity was not measured."""
    if not set(quantities) <= set(measurements.columns) or measurements.empty:
        return None
    return paper.unique(measurements)


def _cell(frame: pd.DataFrame) -> list[str]:
    return [*paper.CELL, *(["alpha"] if "alpha" in frame else [])]


def _judge_cells(
    frame: pd.DataFrame, quantities: list[str], claimed: Literal["above", "below"]
) -> pd.DataFrame:
    by = _cell(frame)
    many = len(frame[by].drop_duplicates()) * len(quantities)
    cells = _with_verdict(summarise(frame, by, quantities), claimed)
    strict = _with_verdict(summarise(frame, by, quantities, level=1 - 0.05 / many), claimed)
    cells["verdict"] = cells["verdict"].where(cells["verdict"] == "supported", strict["verdict"])
    keep = [*by, "quantity", "value", "low", "high", "documents", "seeds", "verdict"]
    return cells.rename(columns={"mean": "value"})[keep]


def _with_verdict(cells: pd.DataFrame, claimed: Literal["above", "below"]) -> pd.DataFrame:
    return cells.assign(
        verdict=[
            direction(low, high, claimed)
            for low, high in zip(cells["low"], cells["high"], strict=True)
        ]
    )


def _everywhere(cells: pd.DataFrame) -> Outcome:
    if (cells["verdict"] == "contradicted").any():
        return "contradicted"
    return "supported" if (cells["verdict"] == "supported").all() else "undecided"


def _on_balance(cells: pd.DataFrame) -> Outcome:
    found = set(cells["verdict"]) - {"undecided"}
    if found == {"supported"}:
        return "supported"
    return "contradicted" if found == {"contradicted"} else "undecided"


def _not_measured(theirs: str) -> Verdict:
    return Verdict("not measured here", "Not measured here.", pd.DataFrame(), theirs)


def _extent(cells: pd.DataFrame) -> str:
    seeds = cells["seeds"].max()
    over = "one seed, so not over trainings" if seeds == 1 else f"up to {seeds} seeds"
    return f"{len(cells)} cell{'s' if len(cells) > 1 else ''} ({over})"


def _tally(cells: pd.DataFrame, supported: str, contradicted: str) -> str:
    count = cells["verdict"].value_counts()
    return (
        f"{supported} in {count.get('supported', 0)}, {contradicted} in "
        f"{count.get('contradicted', 0)}, undecided in {count.get('undecided', 0)}"
    )
