"""How each claim is judged: measurements, a row a run and document, to a verdict.

Cell by cell (a classifier under one projection) or series by series (a classifier over λ), on 95 %
intervals over documents and seeds (`measures.statistics.estimate`), or over seeds
(`measures.statistics.trend`). Of a single training, no interval says what another would give.
"""

import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import pandas as pd

from sparseattn.measures.nulls import GRADIENTS, null_dispersion
from sparseattn.measures.statistics import correlate, direction, summarise, trend
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper
from sparseattn.verdicts.effects import KINDS, gaps, papers_gaps
from sparseattn.verdicts.outcomes import Outcome, Verdict, judged
from sparseattn.wording import span

SERIES = ["task", "encoder", "alignment"]
COST = 0.025
"""A loss of accuracy that matters; the tolerance of the accuracies, too."""


def influence_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 1: effective inputs of a state, against noise."""
    theirs = f"The paper's Table 1 has a dispersion of {span(paper.table1()['value'])}."
    return _dispersed(measurements, {"influence_dispersion": GRADIENTS}, theirs)


def importance_is_dispersed(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 2: effective inputs by importance, under sparse projections, against noise."""
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
    for place, (name, shown) in enumerate({"value": effective, "noise": noise}.items()):
        means = summarise(frame.assign(**shown), _cell(frame), list(quantities))["mean"]
        cells.insert(len(_cell(frame)) + 1 + place, name, means.reindex(cells.index))
    cells["of_noise"] = cells["value"] / cells.pop("noise")
    sentence = (
        f"Effective tokens {span(cells['value'], '.0f')}, {span(cells['of_noise'], '.0%')} of what "
        f"noise gives, in {_extent(cells)}: "
        f"{_tally(cells, 'above half of noise', 'below it')}."
    )
    return judged(sentence, cells, theirs)


def dispersion_grows(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 3: dispersion over the rank of λ."""
    theirs = (
        f"The paper's own Table 2 has correlations of {span(paper.table2()['value'])}, "
        "where larger λ is sparser."
    )
    return _trend(measurements, ["dispersion_inputs_gradient"], "above", theirs)


def agreement_falls(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 5: agreement with inputs over the rank of λ."""
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
    return judged(sentence, cells, theirs)


def hidden_above_inputs(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 4: τ-b with hidden states less τ-b with inputs, paired by document."""
    theirs_gaps = papers_gaps()["value"]
    theirs = (
        f"The paper's Table 6 has differences of {span(theirs_gaps)}, above zero in "
        f"{(theirs_gaps > 0).sum()} of {len(theirs_gaps)} cells."
    )
    frame = _usable(measurements, _names("tau_hidden") + _names("tau_inputs"))
    if frame is None:
        return _not_measured(theirs)
    cells = _judge_cells(gaps(frame), _names("gap"), "above")
    sentence = (
        f"The difference of τ-b, hidden states minus inputs, paired by document, is "
        f"{span(cells['value'])} in {_extent(cells)}: "
        f"{_tally(cells, 'higher with hidden states', 'higher with inputs')}."
    )
    return judged(sentence, cells, theirs)


def diverges_at_no_cost(adversaries: pd.DataFrame) -> Verdict:
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
    return judged(" ".join(told), cells, theirs)


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


def no_more_plausible(measurements: pd.DataFrame) -> Verdict:
    """Judge claim 7, which holds as claims 2 and 5 do."""
    judges = {2: importance_is_dispersed, 5: agreement_falls}
    parts = {number: judge(measurements).outcome for number, judge in judges.items()}
    found = set(parts.values())
    sentence = "; ".join(f"claim {number}: {verdict}" for number, verdict in parts.items()) + "."
    both: Outcome = "unclear"
    for word in ("not measured here", "too few seeds"):
        if word in found:
            both = cast(Outcome, word)
            break
    else:
        if len(found) == 1:
            both = found.pop()
        elif "mixed" in found or {"supported", "contradicted"} <= found:
            both = "mixed"
    return Verdict(both, sentence[0].upper() + sentence[1:], pd.DataFrame())


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
    cells = summarise(frame, by, quantities).rename(columns={"mean": "value"})
    cells = _with_verdict(cells, claimed)
    keep = [*by, "quantity", "value", "low", "high", "documents", "seeds", "alone", "verdict"]
    return cells[keep]


def _with_verdict(cells: pd.DataFrame, claimed: Literal["above", "below"]) -> pd.DataFrame:
    ends = zip(cells["low"], cells["high"], strict=True)
    return _seeded(cells.assign(alone=[direction(low, high, claimed) for low, high in ends]))


def _seeded(cells: pd.DataFrame) -> pd.DataFrame:
    """Judge only cells of several seeds; ``alone`` keeps what documents alone would say.

    A cell whose value is undefined on all documents says nothing.
    """
    cells = cells[cells["value"].notna()]
    return cells.assign(verdict=cells["alone"].where(cells["seeds"] > 1, "too few seeds"))


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
