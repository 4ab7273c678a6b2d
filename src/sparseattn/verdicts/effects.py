"""Effects: what pages draw and tabulate, one number with an interval for each cell.

A frame of measurements, as from :func:`results.side_by_side.together`, is given the columns of
`derived`; from it come summaries, whose quantities are spelled out, beside what chance would give.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sparseattn.experiments.runs import Run
from sparseattn.measures.nulls import null_dispersion, null_influence
from sparseattn.measures.statistics import correlate, differences, summarise
from sparseattn.results import jacobians, paper, published, side_by_side
from sparseattn.wording import FORMATS, label, sentence, span

KINDS = ("gradient", "loo")
WHERE = ["origin", "classifier"]
CELL = [*WHERE, "projection", "sparsity"]
OVER = [*WHERE, "lam"]
DISPERSION = dict.fromkeys((f"dispersion_inputs_{kind}" for kind in KINDS), "noise")
PAIR = ("sparsemax", "softmax")
CO_INDEXED = {
    "influence_self_share": ("Its share of the influence", "chance_influence_self_share"),
    "influence_top1": ("How often it comes first", "chance_influence_top1"),
    "relative_rank": ("Share of inputs before it", "half"),
    "influence_window_share": ("Share within two places", "chance_influence_window_share"),
}
"""What a state owes to the input at its own place: in words, and the column of its chance level."""
PLACE = {
    ("mean", "influence_self_share"): "share",
    ("null", "influence_self_share"): "share by chance",
    ("mean", "influence_top1"): "first",
    ("null", "influence_top1"): "first by chance",
    ("mean", "jacobian_top1"): "first, whole Jacobian",
}
"""What a state owes to the input at its own place, in a table: the heading of each column."""
_NORMS = {"influence": "length of the state", "jacobian": "whole Jacobian"}
_BY_NORM = {
    "dispersion": "Dispersion",
    "self_share": "Share of the co-indexed input",
    "top1": "How often it comes first",
    "window_share": "Share within two places",
}


def derived(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what pages ask beside the measures of a document.

    With n the length and exp(H) an effective number of tokens: shares exp(H)/n of attention, of
    each importance and of noise (``share_…``); ``noise``, the dispersion of noise; the effective
    inputs of a state, its own input's rank as a share of the others, and chance levels; the gap of
    τ-b, hidden states less inputs (``gap_…``); and chance levels of AUC, mass and precision.
    """
    lengths = frame["length"].to_numpy(dtype=float)
    noise = null_dispersion(lengths)
    more = {
        "noise": noise,
        "share_noise": lengths**noise / lengths,
        "share_attention": frame["attention_effective"] / lengths,
        "effective_influence": lengths ** frame["influence_dispersion"],
        "relative_rank": (frame["influence_self_rank"] - 1) / (lengths - 1).clip(1),
        "half": 0.5,
        "tenth": np.ceil(lengths / 10) / lengths,
        "size": frame["logit"].abs(),
    }
    more |= {f"share_{kind}": frame[f"effective_inputs_{kind}"] / lengths for kind in KINDS}
    more |= {f"chance_{name}": level for name, level in null_influence(lengths).items()}
    # At once: columns added one by one leave a frame in pieces, and pandas warns.
    whole = pd.concat([frame, pd.DataFrame(more, index=frame.index)], axis=1)
    of_run = whole.groupby(["origin", "key"])["share_attention"].transform("mean")
    return gaps(whole.assign(realised=(1 - of_run).round(9)))


def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """Add ``gap_gradient`` and ``gap_loo``, where measured: τ-b, hidden states less inputs."""
    known = [kind for kind in KINDS if f"tau_hidden_{kind}" in frame]
    both = {kind: (frame[f"tau_hidden_{kind}"], frame[f"tau_inputs_{kind}"]) for kind in known}
    return frame.assign(
        **{f"gap_{kind}": hidden - inputs for kind, (hidden, inputs) in both.items()}
    )


def papers_gaps() -> pd.DataFrame:
    """Return the gaps in the paper's Table 6: the columns of a cell, ``quantity``, ``value``."""
    wide = paper.table6().pivot_table("value", paper.CELL[:4], "quantity")  # softmax has no λ
    names = [f"gap_{kind}" for kind in KINDS]
    return gaps(wide)[names].melt(ignore_index=False, var_name="quantity").reset_index()


def levels(
    frame: pd.DataFrame,
    by: Sequence[str],
    quantities: Sequence[str] | Mapping[str, str],
    shown: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Summarise quantities cell by cell, averaged over what is not in `by`.

    As `measures.statistics.summarise` does. `quantities` are columns of `derived`; as a mapping, to
    the columns of their chance levels: then ``null`` is what chance would give. With the columns of
    `spelled`, and in ``shown`` the words that `shown` has for the quantity.
    """
    chance = dict(quantities) if isinstance(quantities, Mapping) else {}
    names = list(dict.fromkeys([*quantities, *chance.values()]))
    rows = summarise(side_by_side.pooled(frame, by, names), by, names)
    rows = spelled(side_by_side.beside_chance(rows, chance) if chance else rows)
    return rows if shown is None else rows.assign(shown=rows["quantity"].map(shown))


def means(frame: pd.DataFrame, by: Sequence[str], quantities: Sequence[str]) -> pd.DataFrame:
    """Return plain means, a row each cell in the frame's order and a column each quantity."""
    return frame.groupby(list(by), sort=False)[list(quantities)].mean().reset_index()


def spelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Spell the quantities of rows, such as ``tau_inputs_loo``, where they name an importance.

    Adds ``of`` (inputs or hidden states), ``measure`` (leave-one-out), ``kind`` (Leave-one-out) and
    ``importance`` (inputs, leave-one-out).
    """
    named = "(?:_(inputs|hidden))?_(gradient_fixed|gradient|loo_logit|loo)$"
    parts = rows["quantity"].astype("str").str.extract(named)
    of, measure = (parts[side].map(label, na_action="ignore").astype("str") for side in (0, 1))
    return rows.assign(
        of=of, measure=measure, kind=measure.str.capitalize(), importance=of + ", " + measure
    )


def reported(figures: pd.DataFrame, frame: pd.DataFrame, **constant: str) -> pd.DataFrame | None:
    """Return :func:`results.side_by_side.reported` with quantities `spelled`, and columns more."""
    theirs = side_by_side.reported(figures, frame)
    return None if theirs is None else spelled(theirs).assign(**constant)


def co_indexed(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Summarise what a state owes to the input at its own place; ``shown`` says it in words."""
    words, chance = ({name: both[side] for name, both in CO_INDEXED.items()} for side in (0, 1))
    return levels(frame, by, chance, words)


def place_of_the_word(own: pd.DataFrame, sampled: pd.DataFrame) -> pd.DataFrame:
    """Return, a row each origin and classifier, `PLACE` from `co_indexed` by `WHERE`.

    How often first by the whole Jacobian is there where `whole_jacobians` has rows.
    """
    wide = own.pivot_table(["mean", "null"], WHERE, "quantity", sort=False)
    if len(sampled):
        first = levels(sampled, WHERE, ["jacobian_top1"]).set_index(WHERE)["mean"]
        wide["mean", "jacobian_top1"] = first
    known = {title: wide[one] for one, title in PLACE.items() if one in wide}
    return pd.DataFrame(known).reset_index()


def whole_jacobians(runs: Sequence[Run], tasks: Sequence[str], documents: int) -> pd.DataFrame:
    """Return :mod:`results.jacobians` of published tasks and of the first documents of live runs.

    ``times_chance`` is the share of the squared Jacobian that lies along the state, over what a
    random direction would see.
    """
    chosen = [run for run in runs if run.spec.lam in (None, 0)] or list(runs)
    rows = side_by_side.joined(
        {label(task): jacobians.in_one(published.comparisons([task])) for task in tasks},
        jacobians.sample(chosen, documents),
    )
    return rows.assign(times_chance=rows["seen_share"] * rows["state_size"])


def norms_agree(sampled: pd.DataFrame) -> pd.DataFrame:
    """Return how alike a state's length and its whole Jacobian rank inputs, by `WHERE`."""
    rows = levels(sampled, WHERE, ["norm_variation", "times_chance", "norms_tau", "norms_same_top"])
    if rows.empty:
        return rows
    wide = rows.pivot_table("mean", WHERE, "quantity", sort=False).reset_index()
    return wide.merge(rows.drop_duplicates(WHERE)[[*WHERE, "documents"]], on=WHERE)


def seen(agree: pd.DataFrame) -> str:
    """Say of `norms_agree` how much a state's length shows, and whether it ranks inputs alike."""
    encoder = agree.get("classifier", pd.Series(dtype=str)).str.split(",").str[0]
    said = "; ".join(
        f"of a {name}, the length shows {span(some['times_chance'], FORMATS['times_chance'])} "
        "times what a random direction would, and ranks inputs as the whole Jacobian does with a "
        f"τ-b of {span(some['norms_tau'])}"
        for name, some in agree.groupby(encoder, sort=False)
    )
    return sentence(f"{said}.") if said else ""


def by_norm(sampled: pd.DataFrame) -> pd.DataFrame:
    """Summarise influence by the length of the state and by its whole Jacobian, a ``norm`` each."""
    by = ["origin", "encoder"]
    rows = levels(sampled, by, [f"{norm}_{name}" for name in _BY_NORM for norm in _NORMS])
    parts = rows["quantity"].astype("str").str.extract("^(influence|jacobian)_(.*)$")
    return rows.assign(
        norm=parts[0].map(_NORMS),
        shown=parts[1].map(_BY_NORM),
        who=rows["origin"].str.replace(" ", "\N{NO-BREAK SPACE}")
        + ", "
        + rows["encoder"].map(label),
    )


def under_sparsemax(
    frame: pd.DataFrame, by: Sequence[str], quantities: Sequence[str]
) -> pd.DataFrame:
    """Return the change from softmax to sparsemax, paired by document and seed.

    Only of origins that have both; without rows where none has.
    """
    both = frame.groupby("origin")["projection"].transform(lambda names: set(PAIR) <= set(names))
    if not both.any():
        return pd.DataFrame()
    return spelled(differences(frame[both], "projection", PAIR, by, list(quantities)))


def sides(change: pd.DataFrame, what: str = "changes") -> str:
    """Say how many intervals lie wholly below zero, how many above; nothing without a change."""
    if change.empty:
        return ""
    below, above = (change["high"] < 0).sum(), (change["low"] > 0).sum()
    return f"Of {len(change)} {what}, below zero by the whole interval: {below}; above: {above}."


def reach(rows: pd.DataFrame, by: str, form: str = ".2f", value: str = "mean", of: str = "") -> str:
    """Say how far the means of each group reach, and of what they are, if that is not yet said.

    As in ``Precision, over classifiers: attention 0.31 to 0.44; chance 0.26.``
    """
    if rows.empty:  # then it may lack the columns, too
        return ""
    each = [
        f"{label(name)} {span(some[value], form)}" for name, some in rows.groupby(by, sort=False)
    ]
    said = f"{of}, over classifiers: {'; '.join(each)}." if of else f"{'; '.join(each)}."
    return sentence(said)


def rises(rows: pd.DataFrame, by: Sequence[str]) -> str:
    """Say in how many lines over λ the mean is higher at the last λ than at the first."""
    line = rows if rows.empty else ends(rows, by)
    if line.empty:
        return ""
    higher = (line["last"] > line["first"]).sum()
    return f"From the lowest λ to the highest, {higher} of {len(line)} lines rise."


def papers_change() -> pd.DataFrame:
    """Return the change of dispersion from softmax to sparsemax in the paper's Table 1."""
    wide = paper.table1().pivot_table("value", paper.CELL[:3], "projection").reset_index()
    change = wide["sparsemax"] - wide["softmax"]
    return wide.assign(value=change, quantity="influence_dispersion")


def documents(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the dispersion of importance of each document, a row each ``measure``."""
    long = frame[[*WHERE, *DISPERSION]].melt(
        WHERE, var_name="quantity", value_name="dispersion", ignore_index=True
    )
    return spelled(long)


def medians(spread: pd.DataFrame) -> pd.DataFrame:
    """Return the median ``dispersion`` of the `documents` of each classifier, by ``measure``."""
    each = spread.groupby([*WHERE, "measure"], sort=False)
    return each["dispersion"].median().reset_index()


def ends(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return each line's ``first`` and ``last`` mean over λ, of lines with more than one λ."""
    found = rows.sort_values("lam").groupby(list(by))["mean"].agg(["first", "last", "count"])
    return found[found["count"] > 1]


def against_realised(frame: pd.DataFrame, quantities: Sequence[str], value: str) -> pd.DataFrame:
    """Return means of quantities beside the effective share of attention, a row each.

    A cell is an origin, classifier and sparsity; the quantity's mean is in the column `value`.
    """
    keys, shares = [*WHERE, "sparsity"], ["share_attention", "share_noise"]
    rows = means(frame, keys, [*shares, *quantities])
    rows = rows.melt([*keys, *shares], var_name="quantity", value_name=value)
    order = {origin: place for place, origin in enumerate(rows["origin"].unique())}
    return spelled(rows.sort_values("origin", key=lambda names: names.map(order), kind="stable"))


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Correlate λ, and the sparsity that is realised, with the dispersion of gradients.

    As from :func:`measures.statistics.correlate`, in ``mean``; with the ``axis`` and ``method``.
    Series without a correlation are left out.
    """
    rows = [
        correlate(
            frame[frame[x].notna()], WHERE, x, ["dispersion_inputs_gradient"], method=method
        ).assign(axis=axis, method=method)
        for x, axis in {"lam": "with λ", "realised": "with realised sparsity"}.items()
        for method in ("pearson", "rank")
    ]
    found = pd.concat(rows).rename(columns={"correlation": "mean"})
    return found.dropna(subset=["mean"])
