"""What classifiers read, how well they do, and what sparse attention costs them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sparseattn.data import planted
from sparseattn.data.tasks import Task, load_task
from sparseattn.experiments.runs import Run
from sparseattn.measures.statistics import differences, summarise
from sparseattn.results import paper
from sparseattn.results.frames import cell
from sparseattn.verdicts.effects import PAIR
from sparseattn.wording import label, span, verbatim

IN_CONTEXT: dict[str, Any] = {
    "task": "planted",
    "task_options": {"context": True},
    "encoders": ["none", "bilstm"],
    "alignments": ["additive"],
    "projections": ["softmax"],
    "lams": [],
    "alphas": [],
    "epochs": None,
    "learning_rate": None,
    "vectors": None,
}
"""Parameters of the control: a cue of the planted task counts only after the word before it."""


def about(name: str, options: Mapping[str, Any]) -> str:
    """Return a task in a few sentences of Markdown, the planted one in full."""
    if name != "planted":
        known = load_task(name, dict(options)).name
        among = "one" if known in set(paper.table3()["task"]) else "none"
        return f"This page's task is {verbatim(label(known))}, {among} of the paper's three."
    made = planted.PlantedOptions(**options)
    return (
        "**The planted task** is made up and none of the paper's three. A document is a shuffled "
        f"row of {made.length[0]} to {made.length[1]} words. Its {made.cues} *cues*, such as "
        f"“{planted.POSITIVE[0]}” or “{planted.NEGATIVE[0]}”, decide its class by majority"
        + (", each together with the word before it" if made.context else "")
        + f"; {made.distractors} *distractors*, such as “{planted.DISTRACTORS[0]}”, say nothing "
        "about the class, nor does the rest."
    )


def observed(frame: pd.DataFrame, task: Task) -> str:
    """Say which test documents are observed."""
    return (
        f"The *observed documents* are {frame['document'].nunique():,} of the {len(task.test):,} "
        "test documents, chosen without regard to their content and the same for every classifier. "
        "Whatever is measured word by word is measured on these."
    )


def departures_of(task: Task) -> str:
    """Return where a task departs from the paper's, as Markdown."""
    return "Where this departs from the paper:\n\n" + "\n".join(
        f"- {verbatim(one)}" for one in task.deviations
    )


def sizes(task: Task) -> pd.DataFrame:
    """Return the sizes of a task's splits beside the paper's, without empty columns."""
    rows = pd.DataFrame(task.summary())
    theirs = paper.table3().query("task == @task.name and quantity != 'accuracy'")
    theirs = theirs.set_index("quantity")["value"]
    rows["paper"] = theirs.reindex(rows["split"] + "_documents").to_numpy()
    names = ["split", "documents", "paper", "positive_share", "tokens_mean", "tokens_max"]
    return rows[[name for name in (*names, "unknown_share") if rows[name].fillna(0).any()]]


def whole_test_split(runs: Sequence[Run]) -> pd.DataFrame:
    """Return accuracy (``sd`` over seeds), ROC-AUC and epochs, means over seeds, a row a cell."""
    scores = [
        cell(run)
        | {
            "accuracy": run.manifest["accuracy"],
            "auc": run.manifest["auc"],
            "epochs": len(run.curve),
        }
        for run in runs
    ]
    by_cell = pd.DataFrame(scores).groupby(["classifier", "sparsity"], sort=False)
    means = by_cell[["accuracy", "auc", "epochs"]].mean()
    return means.assign(sd=by_cell["accuracy"].std()).reset_index()


def tokens(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean numbers of tokens with attention, and effective ones, a row a classifier."""
    by = ["classifier", "projection", "lam"]
    rows = summarise(frame, by, ["support", "attention_effective"])
    wide = rows.pivot_table("mean", by, "quantity", sort=False, dropna=False, observed=True)
    return wide.dropna(how="all").reset_index()


def cost_of_sparsemax(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the change of accuracy from softmax to sparsemax, in points, a row a classifier.

    With the share of tokens attended to under each; without rows where either was not asked for.
    """
    if not set(PAIR) <= set(frame["projection"]):
        return pd.DataFrame()
    cost = differences(frame, "projection", PAIR, ["classifier"], ["correct"])
    both = frame[frame["projection"].isin(PAIR)]
    shares = summarise(both, ["classifier", "projection"], ["support_share"])
    shares = shares.pivot_table("mean", "classifier", "projection", sort=False)
    cost[["mean", "low", "high"]] *= 100
    return cost.merge(shares[list(PAIR)], on="classifier")


def cost_in_words(cost: pd.DataFrame) -> str:
    """Say whether attention becomes sparse, and at what cost in accuracy."""
    if cost.empty:
        return "Softmax and sparsemax were not both asked for: no comparison on this page."
    worse, better = (cost["high"] < 0).sum(), (cost["low"] > 0).sum()
    became = "becomes sparse" if cost["sparsemax"].max() < 0.5 else "does not always become sparse"
    price = "with no loss of accuracy that shows" if worse == 0 else "and accuracy suffers"
    return (
        f"**On this task, attention {became}, {price}.** Under sparsemax, classifiers attend to "
        f"{span(cost['sparsemax'], '.0%')} of the tokens, under softmax to "
        f"{cost['softmax'].mean():.0%}. The interval of the change of accuracy lies below zero for "
        f"{worse} of {len(cost)} classifiers and above zero for {better}. The intervals leave room "
        f"for a loss of up to {max(0, -cost['low'].min()):.1f} points."
    )
