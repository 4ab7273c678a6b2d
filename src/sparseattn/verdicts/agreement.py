"""Attention against importance: the effects that the page on agreement shows, and what they say."""

import pandas as pd

from sparseattn.measures.nulls import null_tau_sd
from sparseattn.results import paper, side_by_side, variants
from sparseattn.verdicts import effects
from sparseattn.verdicts.effects import CELL, KINDS, OVER, WHERE
from sparseattn.wording import label, listed, signed, span, verbatim

TAUS = [f"tau_{of}_{kind}" for of in ("inputs", "hidden") for kind in KINDS]
_GRADIENTS = {"tau_inputs_gradient": "inputs", "tau_hidden_gradient": "hidden states"}
_BEYOND = 1.96  # standard deviations: the two-sided level of 5 %


def of_the_papers_classifiers(taus: pd.DataFrame, theirs: pd.DataFrame | None) -> pd.DataFrame:
    """Leave the classifiers that the paper has, and those of the page itself."""
    if theirs is None:
        return taus
    known = set(zip(theirs["origin"], theirs["classifier"], strict=True))
    pairs = zip(taus["origin"], taus["classifier"], strict=True)
    there = pd.Series([pair in known for pair in pairs], taus.index)
    return taus[taus["origin"].str.endswith(side_by_side.LIVE) | there]


def with_ceiling(graded: pd.DataFrame) -> pd.DataFrame:
    """Summarise τ-b over λ, its ceiling under ties, their ratio and the AUC, by ``shown``.

    Of the task of the paper's Figure 3 where there is one, else of the first.
    """
    shown = {
        "tau_inputs_gradient": "τ-b",
        "tau_ceiling": "ceiling of τ-b",
        "tau_relative_inputs_gradient": "τ-b ÷ its ceiling",
        "auc_inputs_gradient": "AUC of the attended",
    }
    first = graded[graded["task"].isin(paper.figure3()["task"])]
    first = first if len(first) else graded
    first = first[first["origin"] == first["origin"].iloc[:1].max()]
    return effects.levels(first, OVER, list(shown), shown)


def without_auc(graded: pd.DataFrame) -> str:
    """Say of how many documents there is no AUC at either end of λ; nothing without a λ."""
    if graded.empty:
        return "None of these classifiers has a λ: there is nothing to draw."
    missing = graded["auc_inputs_gradient"].isna().groupby([graded["origin"], graded["lam"]]).mean()
    told = []
    for origin, part in missing.groupby(level="origin", sort=False):
        each = [
            f"{share:.0%} at λ = {signed(lam)}" for (_, lam), share in part.iloc[[0, -1]].items()
        ]
        told.append(f"{verbatim(origin)}, {' and '.join(dict.fromkeys(each))}")
    return f"*Documents without an AUC, of all classifiers*: {'; '.join(told)}."


def free_of_ties(sparse: pd.DataFrame) -> pd.DataFrame:
    """Summarise measures that have no ceiling under ties, beside chance, by ``shown``."""
    shown = {"auc": "AUC of the attended", "mass": "Mass on the attended", "precision": "Precision"}
    chance = {"auc": "half", "mass": "support_share", "precision": "tenth"}
    columns = {f"{name}_inputs_{kind}": name for name in shown for kind in KINDS}
    at_chance = {name: chance[of] for name, of in columns.items()}
    words = {name: shown[of] for name, of in columns.items()}
    return effects.levels(sparse, WHERE, at_chance, words)


def beyond_noise(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the share of documents whose τ-b lies further out than noise's, a row a cell.

    ``above_…`` and ``below_…`` by each importance, at the two-sided level of 5 % of unrelated
    rankings of the same length and ties (:func:`measures.nulls.null_tau_sd`). ``out_of_reach`` is
    the share left out of these: documents whose ceiling does not reach that far, such as those
    with a support of one.
    """
    ties = cells[["length", "support"]].drop_duplicates().astype(int)
    pairs = zip(ties["length"], ties["support"], strict=True)
    ties = ties.assign(spread=[null_tau_sd(n, [n - support]) for n, support in pairs])
    rows = cells.merge(ties, on=["length", "support"])
    far = _BEYOND * rows["spread"]
    reach = rows["tau_ceiling"] > far
    for kind in KINDS:
        tau = rows[f"tau_inputs_{kind}"].where(reach)
        rows[f"above_{kind}"] = (tau > far).astype(float).where(tau.notna())
        rows[f"below_{kind}"] = (tau < -far).astype(float).where(tau.notna())
    sides = [f"{side}_{kind}" for kind in KINDS for side in ("above", "below")]
    return effects.means(rows.assign(out_of_reach=1.0 - reach), CELL, [*sides, "out_of_reach"])


def among_importances(cells: pd.DataFrame) -> pd.DataFrame:
    """Summarise τ-b of attention with two importances, and between these, by ``shown``."""
    shown = {
        "tau_inputs_gradient": "attention and gradient",
        "tau_inputs_loo": "attention and LOO",
        "tau_between_inputs_gradient_loo": "gradient and LOO",
    }
    return effects.levels(cells, WHERE, list(shown), shown)


def on_the_decisive(cells: pd.DataFrame) -> pd.DataFrame:
    """Summarise the share of attention and importance on the decisive tokens, where known."""
    shown = {
        "attention_evidence_mass": "attention",
        "evidence_mass_inputs_gradient": "input gradient",
        "evidence_mass_inputs_loo": "input LOO",
    }
    if "evidence_share" not in cells:
        return pd.DataFrame()
    known = cells.dropna(subset=["evidence_share"])
    return effects.levels(known, CELL, dict.fromkeys(shown, "evidence_share"), shown)


def at_both_rates(measured: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return agreement under softmax at our learning rates and the paper's; and the paper's own."""
    ours = variants.levels(measured)
    ours = ours[ours["variant"].isin([variants.OURS, variants.PAPERS_RATES])]
    theirs = paper.table6().query("projection == 'softmax'").rename(columns={"value": "mean"})
    theirs = theirs[theirs["task"].isin(ours["task"])]
    both = [
        rows[rows["quantity"].isin(list(_GRADIENTS))].assign(rate=rate)
        for rows, rate in ((ours, ours["variant"]), (theirs, "in the paper"))
    ]
    ours, theirs = (
        rows.assign(shown="Gradients of " + rows["quantity"].map(_GRADIENTS)) for rows in both
    )
    return ours, theirs


def changed_by_rates(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what the paper's learning rates change of accuracy and of agreement."""
    asked = {"accuracy": "test accuracy"}
    asked |= {name: f"τ-b with gradients of {of}" for name, of in _GRADIENTS.items()}
    rows = variants.effects(measured)
    rows = rows[(rows["variant"] == variants.PAPERS_RATES) & rows["quantity"].isin(list(asked))]
    return rows.assign(shown=rows["quantity"].map(asked))


def moved_by_rates(changed: pd.DataFrame) -> str:
    """Say in how many classifiers agreement with the inputs depends on the learning rate."""
    moved = changed[changed["quantity"] == "tau_inputs_gradient"]
    if moved.empty:
        return ""
    certain = ((moved["low"] > 0) | (moved["high"] < 0)).sum()
    each = [
        f"{signed(row['difference'], '+.2f')} [{span([row['low'], row['high']])}] τ "
        f"({label(row['task'])}, {label(row['encoder'])})"
        for row in moved.to_dict("records")
    ]
    return (
        "Under softmax, at the paper's rates, agreement with the length of the gradient of the "
        f"inputs changes by {listed(each)}, surely in {certain} of {len(moved)} classifiers. "
        "By leave-one-out, which decides on this page, it was not measured."
    )
