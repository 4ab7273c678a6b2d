"""The paper's claims, in our words, each with the rule by which it is judged.

Each claim is judged cell by cell (a classifier under one projection) or series by series (a
classifier over λ), on 95 % intervals over documents and seeds (`measures.statistics.estimate`),
or over seeds (`measures.statistics.trend`). Each one is *for* the claim, *against* it, *unclear*,
or has *too few seeds*: of a single training, no interval says what another would give. The outcome
follows from the counts, the same way on both sides (`outcome`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd

from sparseattn.measures.nulls import GRADIENTS, null_dispersion
from sparseattn.measures.statistics import correlate, direction, summarise, trend
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper
from sparseattn.wording import span

Outcome = Literal[
    "supported", "mixed", "contradicted", "unclear", "too few seeds", "not measured here"
]
CELLS = ("supported", "contradicted", "unclear", "too few seeds")
"""What one cell may say of a claim."""
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
        See :func:`outcome`.
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

    @property
    def counts(self) -> dict[str, int]:
        """How many cells say each of `CELLS`; all 0 where nothing was judged."""
        found = self.cells["verdict"] if len(self.cells) else pd.Series(dtype=str)
        return {word: int((found == word).sum()) for word in CELLS}


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


def outcome(counts: Mapping[str, int]) -> Outcome:
    """Return what cells say of a claim together.

    Parameters
    ----------
    counts
        How many say each of `CELLS`.

    Returns
    -------
    str
        ``too few seeds`` where more than half of the cells have too few. Of the others,
        ``supported`` where more than half are for the claim and none is against, ``contradicted``
        where more than half are against and none is for; ``mixed`` where some are for, some
        against, together more than half; else ``unclear``. Without any cell, ``not measured here``.
    """
    pro, contra, neither, few = (counts[word] for word in CELLS)
    judged = pro + contra + neither
    if not judged + few:
        return "not measured here"
    if few > judged:
        return "too few seeds"
    if pro + contra <= judged / 2:
        return "unclear"
    if pro and contra:
        return "mixed"
    return "supported" if pro else "contradicted"


def counted(counts: Mapping[str, int], words: Sequence[str] = ("for", "against")) -> str:
    """Return counts in words: ``18 for, 9 against, 9 unclear of 36``; empty without any.

    Parameters
    ----------
    counts
        As for `outcome`.
    words
        For those that support and those that contradict.
    """
    known = {word: counts[word] for word in CELLS}
    if not sum(known.values()):
        return ""
    told = [f"{known['supported']} {words[0]}", f"{known['contradicted']} {words[1]}"]
    told.append(f"{known['unclear']} unclear")
    if known["too few seeds"]:
        told.append(f"{known['too few seeds']} with one seed")
    return f"{', '.join(told)} of {sum(known.values())}"


def verdicts(measurements: pd.DataFrame, adversaries: pd.DataFrame | None = None) -> pd.DataFrame:
    """Judge all claims: one row each.

    Its columns are ``number, claim, verdict, counts, sentence, paper, rule, page``, and `CELLS`
    with the number of cells that say each; ``counts`` has the same in words.

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
                "counts": counted(verdict.counts),
                "sentence": verdict.sentence,
                "paper": verdict.paper,
                "rule": claim.rule,
                "page": claim.page,
                **verdict.counts,
            }
        )
    return pd.DataFrame(rows)


def _influence_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    theirs = f"The paper's Table 1 has a dispersion of {span(paper.table1()['value'])}."
    return _dispersed(measurements, {"influence_dispersion": GRADIENTS}, theirs)


def _importance_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    theirs = f"The paper's Figure 2 has medians of dispersion of {span(paper.figure2()['value'])}."
    if "projection" in measurements:
        measurements = measurements[measurements["projection"] != "softmax"]
    quantities = dict(zip(_names("dispersion_inputs"), (GRADIENTS, 1), strict=True))
    return _dispersed(measurements, quantities, theirs)


def _dispersed(measurements: pd.DataFrame, quantities: dict[str, int], theirs: str) -> Verdict:
    """Judge effective tokens, n to the power of dispersion, against half of noise's.

    `quantities` names each dispersion, with the entries of what its importances are lengths of.
    """
    frame = _usable(measurements, [*quantities, "length"])
    if frame is None:
        return _not_measured(theirs)
    length = frame["length"].to_numpy()
    effective = {name: length ** frame[name] for name in quantities}
    noise = {name: length ** null_dispersion(length, d) for name, d in quantities.items()}
    above = {name: effective[name] - noise[name] / 2 for name in quantities}
    cells = _judge_cells(frame.assign(**above), list(quantities), "above")
    # Shown as measured, judged as the excess over half of noise's.
    cells = cells.rename(columns={name: f"excess_{name}" for name in ("value", "low", "high")})
    cells.insert(
        len(_cell(frame)) + 1,
        "value",
        summarise(frame.assign(**effective), _cell(frame), list(quantities))["mean"],
    )
    cells["of_noise"] = (
        cells["value"] / summarise(frame.assign(**noise), _cell(frame), list(quantities))["mean"]
    )
    sentence = (
        f"Effective tokens {span(cells['value'], '.0f')}, {span(cells['of_noise'], '.0%')} of what "
        f"noise gives, in {_extent(cells)}: "
        f"{_tally(cells, 'above half of noise', 'below it')}."
    )
    return _verdict(sentence, cells, theirs)


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
            trend(one["lam"].to_numpy(), one["value"].to_numpy(), np.zeros(len(one))).value
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
    cells = correlate(frame, SERIES, "lam", quantities)
    cells = _with_verdict(cells.rename(columns={"correlation": "value"}), claimed)
    rise_or_fall = ("growing", "falling") if claimed == "above" else ("falling", "growing")
    sentence = (
        f"Correlation with the rank of λ {span(cells['value'])} in {len(cells)} series of "
        f"{span(cells['points'], '.0f')} runs: {_tally(cells, *rise_or_fall)}."
    )
    return _verdict(sentence, cells, theirs)


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
        f"The difference of τ-b, hidden states minus inputs, paired by document, is "
        f"{span(cells['value'])} in {_extent(cells)}: "
        f"{_tally(cells, 'higher with hidden states', 'higher with inputs')}."
    )
    return _verdict(sentence, cells, theirs)


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
    return _verdict(" ".join(told), cells, theirs)


def _judge_adversaries(frame: pd.DataFrame) -> pd.DataFrame:
    by = [*_cell(frame), "adversary", "pressure"]
    quantities = ["accuracy_change", "jsd"]
    summary = summarise(frame, by, quantities)
    change, jsd = (
        summary[summary["quantity"] == name].reset_index(drop=True) for name in quantities
    )
    diverges, same = jsd["low"] > math.log(2) / 2, jsd["high"] < math.log(2) / 2
    free, costly = change["low"] > -COST, change["high"] < -COST
    retrained = change["adversary"] == "unfrozen"
    holds = diverges & free.where(retrained, (change["high"] < 0) & ~free)
    fails = (same | costly).where(retrained, diverges & free)
    cells = change.rename(columns={"mean": "value"}).assign(
        jsd=jsd["mean"],
        jsd_low=jsd["low"],
        jsd_high=jsd["high"],
        alone=np.select([holds, fails], ["supported", "contradicted"], "unclear"),
    )
    keep = ["quantity", "value", "low", "high", "jsd", "jsd_low", "jsd_high"]
    return _seeded(cells)[[*by, *keep, "documents", "seeds", "alone", "verdict"]]


def _no_more_plausible(measurements: pd.DataFrame) -> Verdict:
    parts = {
        claim.number: claim.judge(measurements).outcome
        for claim in CLAIMS
        if claim.number in (2, 5)
    }
    outcomes = set(parts.values())
    sentence = "; ".join(f"claim {number}: {one}" for number, one in parts.items()) + "."
    both: Outcome = "unclear"
    for word in ("not measured here", "too few seeds"):
        if word in outcomes:
            both = cast(Outcome, word)
            break
    else:
        if len(outcomes) == 1:
            both = outcomes.pop()
        elif "mixed" in outcomes or {"supported", "contradicted"} <= outcomes:
            both = "mixed"
    return Verdict(both, sentence[0].upper() + sentence[1:], pd.DataFrame())


HALF = (
    "A cell is for the claim when the interval of its effective number of tokens, exp of the "
    "entropy, lies above half of what noise gives on documents of the same lengths, and against it "
    "when below. Noise for a gradient is the length of random Gaussian vectors of "
    f"{GRADIENTS} entries, "
)
TREND = (
    "A series (a task, encoder and alignment, over λ) is for the claim when the interval over "
    "seeds of the quantity's correlation with the rank of λ lies {side} zero, and against it when "
    "on the other side. "
)
SIDES = (
    "Too few seeds: more than half of the {cells} rest on one. Of the others, supported: more than "
    "half are for, none against; contradicted: more than half against, none for; mixed: some for, "
    "some against, together more than half; else unclear."
)
CELLWISE, SERIESWISE = SIDES.format(cells="cells"), SIDES.format(cells="series")
CLAIMS: tuple[Claim, ...] = (
    Claim(
        1,
        "A hidden state is not interchangeable with its input: the influence of the inputs on it "
        "is spread out, for every task, encoder and projection.",
        "hidden-states",
        ("Table 1",),
        ("influence_dispersion",),
        HALF + "which is nearly all tokens. " + CELLWISE,
        _influence_is_dispersed,
    ),
    Claim(
        2,
        "Sparse attention does not make the importance of inputs sparse: it stays spread out "
        "whatever the projection.",
        "dispersion",
        ("Figure 2",),
        ("dispersion_inputs_gradient", "dispersion_inputs_loo"),
        HALF + "for leave-one-out single random numbers. Sparse projections only. " + CELLWISE,
        _importance_is_dispersed,
    ),
    Claim(
        3,
        "The sparser attention is, the more the importance of inputs is spread out.",
        "dispersion",
        ("Table 2",),
        ("dispersion_inputs_gradient",),
        TREND.format(side="above") + SERIESWISE,
        _dispersion_grows,
    ),
    Claim(
        4,
        "Attention agrees more with the importance of hidden states than with that of inputs, in "
        "all models.",
        "agreement",
        ("Table 6", "Figure 1", "Figure 4"),
        ("tau_hidden_gradient", "tau_inputs_gradient", "tau_hidden_loo", "tau_inputs_loo"),
        "A cell is for the claim when the interval of the paired difference of τ-b lies above "
        "zero, and against it when below, for gradient and leave-one-out apart. " + CELLWISE,
        _hidden_above_inputs,
    ),
    Claim(
        5,
        "The sparser attention is, the less it agrees with the importance of inputs.",
        "agreement",
        ("Figure 3",),
        ("tau_inputs_gradient", "tau_inputs_loo"),
        TREND.format(side="below") + SERIESWISE,
        _agreement_falls,
    ),
    Claim(
        6,
        "Attention can be made to diverge at no cost in accuracy when the model is retrained, but "
        "not when its other parameters are frozen.",
        "adversary",
        ("Table 5",),
        ("jsd", "accuracy_change"),
        "Retrained, a cell is for the claim when the interval of the divergence lies above half of "
        f"its maximum, ln 2, and that of the change of accuracy above −{COST:g}; against it when "
        "either lies wholly below. Frozen, it is for the claim when the divergence is as large and "
        f"the interval of the change below zero, not wholly within {COST:g} of it; against it when "
        f"it diverges and the change lies above −{COST:g}. " + CELLWISE,
        _diverges_at_no_cost,
        "adversaries",
    ),
    Claim(
        7,
        "Overall, sparsity makes attention no more, perhaps less, plausible as an explanation.",
        "paper",
        (),
        (),
        "What claims 2 and 5 are, where they are the same; mixed where one is mixed, or supported "
        "and the other contradicted; too few seeds where either has; else unclear.",
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
    cells = _with_verdict(summarise(frame, by, quantities), claimed)
    keep = [*by, "quantity", "value", "low", "high", "documents", "seeds", "alone", "verdict"]
    return cells.rename(columns={"mean": "value"})[keep]


def _with_verdict(cells: pd.DataFrame, claimed: Literal["above", "below"]) -> pd.DataFrame:
    ends = zip(cells["low"], cells["high"], strict=True)
    return _seeded(cells.assign(alone=[direction(low, high, claimed) for low, high in ends]))


def _seeded(cells: pd.DataFrame) -> pd.DataFrame:
    """Judge only cells of several seeds; ``alone`` keeps what documents alone would say."""
    return cells.assign(verdict=cells["alone"].where(cells["seeds"] > 1, "too few seeds"))


def _verdict(sentence: str, cells: pd.DataFrame, theirs: str) -> Verdict:
    found = Verdict("unclear", sentence, cells, theirs)
    return replace(found, outcome=outcome(found.counts))


def _not_measured(theirs: str) -> Verdict:
    return Verdict("not measured here", "Not measured here.", pd.DataFrame(), theirs)


def _extent(cells: pd.DataFrame) -> str:
    seeds = cells["seeds"].max()
    over = "one seed" if seeds == 1 else f"up to {seeds} seeds"
    return f"{len(cells)} cell{'s' if len(cells) > 1 else ''} ({over})"


def _tally(cells: pd.DataFrame, supported: str, contradicted: str) -> str:
    count = cells["verdict"].value_counts()
    told = (
        f"{supported} in {count.get('supported', 0)}, {contradicted} in "
        f"{count.get('contradicted', 0)}, unclear in {count.get('unclear', 0)}"
    )
    single = cells[cells["verdict"] == "too few seeds"]
    if single.empty:
        return told
    if "documents" not in single:
        return f"{told}; {len(single)} with one seed and so no interval"
    alone = single["alone"].value_counts()
    return (
        f"{told}; not judged, {len(single)} with one seed (over documents alone, "
        f"{alone.get('supported', 0)} for the claim and {alone.get('contradicted', 0)} against)"
    )
