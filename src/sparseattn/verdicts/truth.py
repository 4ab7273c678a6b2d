"""Which measures of importance find the tokens that decide, where these are known.

`passing` asks it of examinations, every measure and task; `evidence_auc` of a page's own planted
runs, whose traces have the few measures that all runs have.
"""

from collections.abc import Iterable
from itertools import chain

import pandas as pd

from sparseattn.attribution.explainers import EXPLAINERS
from sparseattn.data.tasks import CONTEXT
from sparseattn.experiments.runs import Run
from sparseattn.measures.per_document import attended_auc
from sparseattn.results.frames import cell
from sparseattn.verdicts import effects
from sparseattn.verdicts.effects import PAIR
from sparseattn.verdicts.question import KNOWN, LEARNED, levels, measure_name
from sparseattn.wording import label, listed, span

BAR = 0.75
"""A measure passes where its AUC is surely above this: `SINGLE`, `BESIDE`, and each encoder.

Chosen after single planted runs were seen, and before their seeds were.
"""
SINGLE, BESIDE = ("planted", "sst+token"), (CONTEXT, "sst+beside")
"""Tasks in which single words decide, and those in which none does but beside another."""
ENCODERS = ("bilstm", "transformer")
NEARLY = 0.9
"""A share of the weight that is nearly all of it, and an AUC beyond which little is missed."""
WEAK = 0.6
"""An AUC below which a ranking finds little of the truth."""
RANKINGS = {
    "attention": "attention",
    "gradient": "inputs_gradient",
    "product": "inputs_product",
    "loo": "inputs_loo",
}


def passing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return which measures find the decisive tokens where these are known, a row each, best first.

    ``shown``; ``lowest``, the least mean AUC of any cell (task, encoder, projection), with ``low``,
    the lower end of its interval, and ``where``; ``cells``, how many there are, and in how many of
    them the AUC is ``sure``, its interval above `BAR`, and where it is ``unsure``; ``passes``:
    ``fails`` where a cell's mean is not above `BAR`, ``not certain`` where an interval is not; else
    ``passes`` if each encoder has a cell of `SINGLE` and one of `BESIDE`, and ``passes so far`` if
    not.
    """
    if frame.empty:
        return pd.DataFrame()
    kinds = {task: kind for kind in (SINGLE, BESIDE) for task in kind}
    known = frame[frame["task"].isin(list(kinds)) & frame["encoder"].isin(ENCODERS)]
    by = ["task", "encoder", "sparsity"]
    found = []
    for name in EXPLAINERS:
        part = levels(known, "evidence_auc_{}", by, [name])
        if part.empty:
            continue
        worst = part.loc[part["mean"].idxmin()]
        tested = {(kinds[task], one) for task, one in part[["task", "encoder"]].to_numpy()}
        verdict = "passes" if len(tested) == 2 * len(ENCODERS) else "passes so far"
        if worst["mean"] <= BAR:
            verdict = "fails"
        elif (part["low"] <= BAR).any():
            verdict = "not certain"
        named = (
            part["task"].map(label) + ", " + part["encoder"].map(label) + ", " + part["sparsity"]
        )
        found.append(
            {
                "name": name,
                "shown": measure_name(name),
                "lowest": worst["mean"],
                "low": max(worst["low"], 0.0),  # few seeds make intervals wider than the scale
                "where": named[worst.name],
                "unsure": list(named[part["low"] <= BAR]),
                "cells": len(part),
                "sure": int((part["low"] > BAR).sum()),
                "passes": verdict,
            }
        )
    rows = pd.DataFrame(found)
    return rows.sort_values("lowest", ascending=False, ignore_index=True) if len(rows) else rows


def passed(found: pd.DataFrame) -> str:
    """Say which measures of `passing` pass, and how far attention and the gradient are from it."""
    if found.empty:
        return "Where the decisive words are not known, no measure can be tested."
    good = found.loc[found["passes"].str.startswith("passes"), "shown"]
    if good.empty:
        near = found[found["sure"] == found["sure"].max()]
        unsure = list(dict.fromkeys(chain(*near["unsure"])))
        told = (
            f"**No measure surely passes everywhere.** {listed(list(near['shown']))} "
            f"{'come' if len(near) > 1 else 'comes'} nearest: AUC surely above {BAR:g} in "
            f"{near['sure'].max()} of {near['cells'].max()} cells, but not in {'; '.join(unsure)}; "
            f"lowest {span(near['lowest'])}"
        )
    else:
        where = "everywhere"
        if (found["passes"] == "passes so far").any():
            where = "wherever tested; not every encoder learned both kinds of task"
        verb = "pass" if len(good) > 1 else "passes"
        told = f"{listed(list(good))} {verb}: AUC surely above {BAR:g} {where}"
    low = found.set_index("name")["lowest"]
    rest = [
        f"{words} falls to {low[name]:.2f}"
        for name, words in (("inputs_gradient", "the length of the gradient"),
                            ("attention", "attention itself"))
        if name in low and low[name] <= BAR
    ]  # fmt: skip
    return f"{told}. " + (f"In the worst case {listed(rest)}; chance is 0.5." if rest else "")


def unlearned(frame: pd.DataFrame) -> str:
    """Say how many runs did not learn what was planted (`question.LEARNED`); empty if all did."""
    known = frame[frame["task"].isin(KNOWN)].drop_duplicates("key")
    known = known.assign(missed=known["accuracy"] < LEARNED)
    if not known["missed"].any():
        return ""
    by = known.groupby(["origin", "encoder"], sort=False)["missed"].agg(["sum", "size"])
    each = [
        f"{count['sum']} of {count['size']} {label(encoder)}s on {origin}"
        for (origin, encoder), count in by[by["sum"] > 0].iterrows()
    ]
    return (
        f"{known['missed'].sum()} of {len(known)} runs did not learn their task (accuracy below "
        f"{LEARNED:.0%}) and are left out: {listed(each)}."
    )


def pointed_at(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the share of attention's weight on the decisive tokens, and what to say of it.

    A row each origin, encoder and projection, softmax and sparsemax, as from `effects.levels`: the
    ``mean`` with its interval, and in ``null`` the share of the tokens that decide.
    """
    columns = ["evidence_mass_attention", "evidence_auc_attention", "evidence_share"]
    if not {*columns} <= set(frame):
        return pd.DataFrame(), ""
    both = frame[frame["projection"].isin(PAIR)].dropna(subset=columns)
    rows = effects.levels(both, ["origin", "encoder", "projection"], {columns[0]: columns[2]})
    means = both.pivot_table(columns, ["origin", "encoder"], "projection", sort=False).dropna()
    if means.empty or len(set(both["projection"])) < len(PAIR):
        return rows, ""
    mass, auc, share = (means[column] for column in columns)
    more, higher = ((one["sparsemax"] > one["softmax"]).sum() for one in (mass, auc))
    some = auc["sparsemax"][(mass["sparsemax"] > NEARLY) & (auc["sparsemax"] <= NEARLY)]
    told = (
        f"Of attention's weight, {span(mass['softmax'], '.0%')} lies on the words that decide "
        f"under softmax and {span(mass['sparsemax'], '.0%')} under sparsemax (they are "
        f"{span(share['softmax'], '.0%')} of the words): more under sparsemax in {more} of "
        f"{len(means)} cases, where its AUC is higher in {higher}. "
    )
    if len(some):
        where = listed([f"{label(encoder)} on {origin}" for origin, encoder in some.index])
        told += (
            f"What is pointed at may decide, and not be all that does: over {NEARLY:.0%} of "
            f"sparsemax's weight lies on decisive words, with an AUC of only {span(some)}, of: "
            f"{where}. The others that decide have little weight or none."
        )
    return rows, told


def evidence_auc(runs: Iterable[Run]) -> pd.DataFrame:
    """Return how well attention and the importance of inputs tell decisive tokens from the rest.

    One row a run and document, of runs whose decisive tokens are known: the columns of
    `results.frames.cell`, ``document``, and those of `RANKINGS`: the probability that a decisive
    token ranks above another, .5 by chance (`measures.per_document.attended_auc`).
    """
    parts = []
    for run in runs:
        traces = run.traces
        if "evidence" not in traces:
            continue
        decisive = traces["evidence"].astype(float)
        found = {
            name: attended_auc(decisive, traces[trace], traces["lengths"])
            for name, trace in RANKINGS.items()
        }
        parts.append(pd.DataFrame(found).rename_axis("document").reset_index().assign(**cell(run)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def of_importances(found: pd.DataFrame) -> str:
    """Say of `evidence_auc` how far each importance finds the truth; empty where none is known."""
    if found.empty:
        return ""
    means = found.groupby(["classifier", "sparsity"], sort=False)[list(RANKINGS)].mean()
    classifier, sparsity = means["gradient"].idxmin()
    worst = means.loc[(classifier, sparsity)]
    lowest = f"{span([worst['gradient']])} (by leave-one-out {span([worst['loo']])})"
    softmax = means[means.index.get_level_values("sparsity") == "softmax"]["gradient"]
    under = f" (under softmax {span(softmax)})" if len(softmax) else ""
    weak = " What rests on the gradient alone is weak evidence." if worst["gradient"] < WEAK else ""
    return (
        "The paper leans on the length of the gradient; here leave-one-out decides. Where the "
        "decisive tokens are known, on planted documents, such a token ranks above another (AUC; "
        f"chance is 0.50) with probability {span(means['gradient'])} by the length of the "
        f"gradient{under}, {span(means['product'])} by the gradient times the embedding, and "
        f"{span(means['loo'])} by leave-one-out, over {len(means)} pairs of a classifier and a "
        "projection. Every run has leave-one-out, but it does not surely pass everywhere either "
        '(<a href="05-truth.html#truth-known">which measures do</a>). Lowest by the '
        f"gradient: {classifier}, {sparsity}, {lowest}.{weak}"
    )


def by_classifier(found: pd.DataFrame) -> pd.DataFrame:
    """Return the means of `evidence_auc` over documents and seeds, a row a classifier."""
    if found.empty:
        return found
    rows = found.groupby(["classifier", "sparsity"], sort=False)[list(RANKINGS)]
    return rows.mean().reset_index()
