"""Adversaries of published tasks and of a page, summarised, and what is said of them.

A frame has the columns of :func:`results.frames.measurements`, ``origin``, and ``where``,
a task and a classifier.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sparseattn.experiments.runs import Adversary
from sparseattn.experiments.specs import TRAINED
from sparseattn.measures.divergence import CEILING, even_ceiling
from sparseattn.measures.statistics import summarise
from sparseattn.results import paper, published, side_by_side
from sparseattn.results.frames import measurements
from sparseattn.verdicts.contradictions import contradictions
from sparseattn.verdicts.replication import ACCURACY_TOLERANCE, replicate
from sparseattn.wording import label, listed, span, verbatim

BY = ["where", "origin", "sparsity", "projection", "adversary"]
KINDS = ("reseeded", "uniform", "frozen", "unfrozen")
"""The comparisons that no adversary takes part in, before the adversaries."""


def together(adversaries: Iterable[Adversary], tasks: Sequence[str]) -> pd.DataFrame:
    """Return the measurements of published adversaries and of a page's own in one frame."""
    theirs = [one for task in tasks for one in published.adversaries([task])]
    frame = side_by_side.of_results(adversaries, theirs)
    return frame.assign(where=frame["origin"] + ": " + frame["classifier"])


def levels(
    frame: pd.DataFrame, quantities: Sequence[str] = ("jsd", "accuracy_change")
) -> pd.DataFrame:
    """Summarise quantities by `BY`, classifiers in the frame's order, `KINDS` in theirs."""
    order = [*dict.fromkeys(frame["where"]), *KINDS]
    rows = summarise(frame, BY, list(quantities)).sort_values(
        ["where", "adversary"], key=lambda column: column.map(order.index), kind="stable"
    )
    # Each seed is once the base and once the other, so their mean change is zero by construction.
    return rows[(rows["adversary"] != "reseeded") | (rows["quantity"] != "accuracy_change")]


def reported(found: pd.DataFrame, frame: pd.DataFrame, quantity: str) -> pd.DataFrame | None:
    """Return the paper's Table 5 beside the classifiers found."""
    rows = side_by_side.reported(paper.table5().assign(projection="softmax"), frame)
    if rows is None:
        return None
    rows = rows.assign(where=rows["origin"] + ": " + rows["classifier"])
    return rows[rows["where"].isin(found["where"]) & (rows["quantity"] == quantity)]


def wide(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row each cell; ``jsd``, its mean, ``jsd_low``, ``accuracy_change``, … as columns."""
    rows = found.pivot_table(["mean", "low", "high"], BY, "quantity", sort=False)
    rows.columns = [f"{quantity}_{end}".removesuffix("_mean") for end, quantity in rows.columns]
    return rows.reset_index()


def price(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `wide` of frozen adversaries at each ``pressure``, where there is more than one."""
    frozen = frame[frame["adversary"] == "frozen"]
    several = frozen.groupby("where")["pressure"].transform("nunique") > 1
    parts = [
        wide(levels(part)).assign(pressure=pressure)
        for pressure, part in frozen[several].groupby("pressure")
    ]
    return pd.concat(parts) if parts else pd.DataFrame()


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean divergences, what they could be at most, and the shares from zeros, a row a cell.

    ``share_ceiling`` is the divergence over the most there could be against its base,
    ``share_disjoint`` the part of it from tokens that only one of the two attentions weighs.
    """
    known, long = frame["jsd"] > 1e-6, frame["length"] > 1
    names = ["jsd", "jsd_ceiling", "share_disjoint", "share_ceiling"]
    rows = frame.assign(
        share_disjoint=frame["jsd_disjoint"] / frame["jsd"].where(known),
        share_ceiling=frame["jsd"] / frame["jsd_ceiling"].where(long),
    )
    return levels(rows, names).pivot_table("mean", BY, "quantity", sort=False).reset_index()


def spans(found: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the range of the means of each quantity and adversary, in words."""
    return {
        (quantity, kind): span(part, "+.3f" if quantity == "accuracy_change" else ".2f")
        for (quantity, kind), part in found.groupby(["quantity", "adversary"])["mean"]
    }


def in_words(found: pd.DataFrame) -> str:
    """Return as Markdown how far attention diverges, and at what cost, a line each of `KINDS`."""
    ranges = spans(found)
    told = [
        f"- **{label(kind).capitalize()}**: divergence {ranges['jsd', kind]} nats"
        + (
            f", change of accuracy {ranges['accuracy_change', kind]}"
            if ("accuracy_change", kind) in ranges
            else ""
        )
        for kind in KINDS
        if ("jsd", kind) in ranges
    ]
    return (
        "Over tasks, classifiers and projections:\n\n" + "\n".join(told) + "\n\nThe most that a "
        f"divergence can be is {CEILING:.2f} nats."
    )


def older(tasks: Sequence[str]) -> str:
    """Say which published adversaries an earlier version of the recipe made; nothing if none."""
    every = published.adversaries(tasks)
    made = Counter(
        label(adversary.spec.base.task)
        for adversary in every
        if adversary.manifest["versions"] != adversary.spec.versions()
    )
    told = "an earlier version of the recipe, which may cost more accuracy than need be"
    by_task = listed([f"{count} on {task}" for task, count in made.items()])
    return f"Of {len(every)} adversaries, {by_task} were made by {told}." if made else ""


def of_another_seed(found: pd.DataFrame) -> str:
    """Say which share of the retrained adversary's divergence another seed alone gives."""
    jsd = found[found["quantity"] == "jsd"]
    jsd = jsd.pivot_table("mean", ["where", "sparsity"], "adversary", sort=False)
    share = (jsd.get("reseeded", np.nan) / jsd.get("unfrozen", pd.Series(dtype=float))).dropna()
    if share.empty:
        return "Not measured here."
    return (
        f"Another seed alone gives {span(share, '.0%')} of the retrained adversary's divergence, "
        "by classifier and projection."
    )


def of_their_ceilings(parts: pd.DataFrame) -> str:
    """Say how much of what their base allows the adversaries reach, and how much is from zeros."""
    trained = parts[parts["adversary"].isin(TRAINED)]
    zeros = trained.loc[trained["sparsity"] != "softmax", "share_disjoint"].dropna()
    told = (
        f"The adversaries reach {span(trained['share_ceiling'], '.0%')} of what their base allows."
    )
    if zeros.empty:
        return told
    return f"{told} Under sparse projections {span(zeros, '.0%')} of that are from zeros."


def from_uniform(frame: pd.DataFrame) -> str:
    """Return as Markdown how far any attention can be from uniform attention, a line a task."""
    documents = frame.drop_duplicates(["origin", "document"])
    even = documents.assign(even=even_ceiling(documents["length"].to_numpy()))
    theirs = paper.table5().query("quantity == 'jsd' and encoder == 'transformer'")
    most = even.groupby(["task", "origin"], sort=False)["even"].mean()
    lines = []
    for (task, origin), value in most.items():
        of_paper = " and ".join(
            f"{row['value']:.2f} nats {label(row['adversary'])}"
            for row in theirs[theirs["task"] == task].to_dict("records")
        )
        told = f" The paper's Transformer has {of_paper}." if of_paper else ""
        lines.append(f"- {verbatim(origin)}: {value:.2f} nats.{told}")
    return "\n".join(lines)


def uniform_and_frozen(found: pd.DataFrame) -> str:
    """Say in how many classifiers uniform attention costs little, and frozen adversaries do too."""
    kinds, limit = ["uniform", "frozen"], ACCURACY_TOLERANCE
    costs = found[(found["quantity"] == "accuracy_change") & found["adversary"].isin(kinds)]
    fates = [costs["low"] > -limit, costs["high"] < -limit]
    costs = costs.assign(fate=np.select(fates, ["free", "dear"], "open"))
    costs = costs.pivot_table("fate", ["where", "sparsity"], "adversary", "first", sort=False)
    costs = costs.reindex(columns=kinds).dropna()
    if costs.empty:
        return "Not measured here."
    free = costs.loc[costs["uniform"] == "free", "frozen"]
    return (
        f"Of {len(costs)} with both, each a classifier under a projection, uniform attention costs "
        f"less than {100 * limit:g} points of accuracy in {len(free)}, by the whole interval. Of "
        "these, the frozen adversary "
        f"does so too in {(free == 'free').sum()} and costs more in {(free == 'dear').sum()}; in "
        f"{(free == 'open').sum()} its interval leaves it open."
    )


def replicated(adversaries: Iterable[Adversary], tasks: Sequence[str]) -> pd.DataFrame:
    """Put published adversaries, or where there are none a page's own, beside the paper's."""
    theirs = measurements(published.adversaries(tasks))
    frame = theirs if len(theirs) else measurements(adversaries)
    return replicate(pd.DataFrame(), pd.DataFrame(), frame)


def who_moves_information(replicated: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return as Markdown what the paper's figures, and ours, say of either adversary's cost."""
    cost = {kind: spans(found)["accuracy_change", kind] for kind in TRAINED}
    theirs = contradictions(replicated).set_index("number").loc[6, "paper"]
    return (
        f"*The paper's figures.* {theirs}\n\n*Ours.* Accuracy changes by {cost['frozen']} with "
        f"frozen parameters and by {cost['unfrozen']} retrained. Where a frozen adversary keeps "
        "the accuracy too, the states of the base are enough for its attention, and nothing need "
        "be moved."
    )


def with_the_base(frame: pd.DataFrame, sparsity: str) -> pd.DataFrame:
    """Summarise τ-b with the base, of attention and of gradients, under one projection."""
    shown = {"tau_attention": "attention", "tau_gradient": "gradient importance"}
    rows = frame[(frame["sparsity"] == sparsity) & (frame["adversary"] != "uniform")]
    found = levels(rows, list(shown))
    return found.assign(shown=found["quantity"].map(shown))
