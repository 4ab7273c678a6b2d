"""Whether attention and importance find the decisive tokens, where these are known."""

from collections.abc import Iterable

import pandas as pd

from sparseattn.experiments.runs import Run
from sparseattn.measures.per_document import attended_auc
from sparseattn.results.frames import cell
from sparseattn.wording import span

WEAK = 0.6
"""An AUC below which a ranking finds little of the truth."""
RANKINGS = {
    "attention": "attention",
    "gradient": "inputs_gradient",
    "product": "inputs_product",
    "loo": "inputs_loo",
}


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


def told(found: pd.DataFrame) -> str:
    """Say of `evidence_auc` how far each importance finds the truth; empty where none is known."""
    if found.empty:
        return ""
    means = found.groupby(["classifier", "sparsity"], sort=False)[list(RANKINGS)].mean()
    classifier, sparsity = means["gradient"].idxmin()
    worst = means.loc[(classifier, sparsity)]
    lowest = f"{span([worst['gradient']])} (by leave-one-out {span([worst['loo']])})"
    softmax = means[means.index.get_level_values("sparsity") == "softmax"]["gradient"]
    under = f" (under softmax {span(softmax)})" if len(softmax) else ""
    return (
        "The paper leans on the length of the gradient; here leave-one-out decides. Where the "
        "decisive tokens are known, on planted documents, one is above another (AUC; chance is "
        f"0.50) with probability {span(means['gradient'])} by the length of the gradient{under}, "
        f"{span(means['product'])} by the gradient times the embedding, and "
        f"{span(means['loo'])} by leave-one-out, over {len(means)} classifiers. Lowest by the "
        f"gradient: {classifier}, {sparsity}, {lowest}."
        + (
            " What rests on the gradient alone is weak evidence."
            if worst["gradient"] < WEAK
            else ""
        )
    )


def by_classifier(found: pd.DataFrame) -> pd.DataFrame:
    """Return the means of `evidence_auc` over documents and seeds, a row a classifier."""
    if found.empty:
        return found
    rows = found.groupby(["classifier", "sparsity"], sort=False)[list(RANKINGS)]
    return rows.mean().reset_index()
