"""Where this report departs from the paper, or had to choose what the paper does not say.

The settings named are read from the code that uses them. Where data differ, the task itself says
so (`data.tasks.Task.deviations`). What a departure changes is measured by `results.variants`, whose
summaries (`results.variants.summaries`) are the ``measured`` of the functions below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from sparseattn.experiments.specs import Spec
from sparseattn.measures.statistics import compare
from sparseattn.models.classifier import Transformer
from sparseattn.models.training import LEARNING_RATES
from sparseattn.results import paper, published, variants
from sparseattn.verdicts import effects
from sparseattn.verdicts.replication import ACCURACY_TOLERANCE, TOLERANCE
from sparseattn.wording import label, listed, signed, verbatim

Part = Literal["training", "classifier", "measures", "statistics"]


@dataclass(frozen=True)
class Departure:
    """One departure."""

    part: Part  # of the experiment
    what: str  # is at stake, in a few words
    paper: str  # what it does, or that it does not say
    here: str  # what is done
    why: str
    effect: str = ""  # what is known of it unmeasured; empty where variants measured it
    variants: tuple[str, ...] = ()  # names of those that measure it


RULE = (
    f"A difference is the *same* as none when its whole interval lies within ±{TOLERANCE} (of "
    f"accuracies: ±{ACCURACY_TOLERANCE}), *different* when all of it lies outside, else "
    "*undecided*. Numbers of tokens are not judged."
)
NOT_STATED = "Not stated."
NOT_A_SETTING = "Not measured: the classifier has no such setting."
NOT_MEASURED = (
    "Not measured yet on any of these tasks: `sparseattn deviations` trains the variants and keeps "
    "what they change."
)


def departures() -> tuple[Departure, ...]:
    """Return all departures, those of training first."""
    return (*_of_training(), *_of_the_classifier(), *_of_measures())


def as_frame() -> pd.DataFrame:
    """Return `departures`, a row each, with where the effect of a variant is measured."""
    told = [one.effect or f"Measured below: {', '.join(one.variants)}." for one in departures()]
    return pd.DataFrame(map(vars, departures())).assign(effect=told)


def _of_training() -> tuple[Departure, ...]:
    default = Spec()
    stated = paper.table4().query("quantity == 'learning_rate'")
    rates = "; ".join(
        f"{label(row['encoder'])} {row['value']:g}" for row in stated.to_dict("records")
    )
    ours = "; ".join(f"{label(encoder)} {LEARNING_RATES[encoder]:g}" for encoder in paper.ALIGNMENT)
    return (
        Departure(
            "training", "Initial word vectors",
            f"fastText, of {default.embedding_size} entries, trained further (Jain and Wallace).",
            "Made from training texts, IMDb's or the task's own as the ledger says (co-occurrence, "
            "then a truncated singular value decomposition); as many entries, trained further.",
            "Pretrained vectors are a large download from elsewhere; these need only the "
            "report's own data.",
            variants=(
                "random vectors", "the task's own vectors", "GloVe vectors of 50 entries",
                "random vectors of 50 entries",
            ),
        ),
        Departure(
            "training", "Learning rate", f"{rates}.", f"{ours}.",
            "Chosen by ROC-AUC on the dev split of SST, and done in fewer epochs; how many the "
            "paper took is not known.",
            variants=("the paper's rates",),
        ),
        Departure(
            "training", "Epochs, and which one is kept", NOT_STATED,
            f"At most {_epochs_allowed()}; the one with the highest ROC-AUC on dev, as Jain and "
            f"Wallace; training ends {default.patience} epochs after the last rise.",
            "The test split must not choose; a limit saves time on long texts.",
            _epochs_reached(),
        ),
        Departure(
            "training", "Dropout", NOT_STATED, "None.",
            "One setting less to choose.", NOT_A_SETTING,
        ),
        Departure(
            "training", "Learning rate of the attention's own parameters",
            "That of the others, or ten times it.", "That of the others.",
            "One setting less to choose.", NOT_A_SETTING,
        ),
        Departure(
            "training", "Updates of rare words", NOT_STATED,
            "Adam's averages of a word's vector move only in batches in which it occurs.",
            "Faster on short texts; words that do not occur do not drift.", NOT_A_SETTING,
        ),
        Departure(
            "training", "Order of the documents", NOT_STATED,
            "Shuffled, then batched with others of like length.",
            "Less padding, hence less time.", NOT_A_SETTING,
        ),
        Departure(
            "training", "Seeds", NOT_STATED, "Several; the ledger names the seed of each run.",
            "What changes when training is repeated is part of the uncertainty.",
            "On every page: the spread over seeds stands apart from the spread over documents.",
        ),
    )  # fmt: skip


def _epochs_allowed() -> str:
    """Return the most epochs allowed in published runs, by task; of a default run if none is."""
    most = pd.DataFrame([(run.spec.task, run.spec.epochs) for run in published.runs()])
    if most.empty:
        return str(Spec().epochs)
    return listed([f"{count} on {label(task)}" for task, count in most.groupby(0)[1].max().items()])


def _epochs_reached() -> str:
    """Say in how many published runs the last epoch allowed was still the best."""
    runs = pd.DataFrame(
        [(run.spec.task, run.manifest["best_epoch"] == run.spec.epochs) for run in published.runs()]
    )
    if runs.empty:
        return "Shown by the learning curves below."
    told = [
        f"{reached.sum()} of {len(reached)} on {label(task)}"
        for task, reached in runs.groupby(0)[1]
    ]
    return (
        f"Of the published runs, the best epoch was the last one allowed in {listed(told)}: more "
        "epochs might have trained these further. SST's learning curves are below."
    )


def _of_the_classifier() -> tuple[Departure, ...]:
    size = Spec().hidden_size
    return (
        Departure(
            "classifier", "Query of the attention",
            "The equation has a query; nothing says what it is in a classifier.",
            "None: a trained vector takes its place, as in Jain and Wallace's code.",
            "A single text has no second one to ask with.", NOT_A_SETTING,
        ),
        Departure(
            "classifier", "Attention on the markers of begin and end", NOT_STATED,
            "Never: they pass through the encoder, and get no weight.",
            "Jain and Wallace leave them out of all correlations; weight on them would be weight "
            "on no word.", NOT_A_SETTING,
        ),
        Departure(
            "classifier", "The softmax inside the Transformer", NOT_STATED,
            "Stays; only the attention over its last states is made sparse.",
            "So that one thing changes at a time.", NOT_A_SETTING,
        ),
        Departure(
            "classifier", "Positions, and the inside of a layer", NOT_STATED,
            f"Sinusoids; {Transformer.LAYERS} layers of one head, normalised after each part, with "
            f"{2 * size} inner units.",
            "The original Transformer's, in proportion to its size.", NOT_A_SETTING,
        ),
        Departure(
            "classifier", "λ of sparsegen", "Not listed; Figure 3 is a plot.",
            "Read off the axis of that plot.", "Nothing else says.",
            "How sparse attention came out is measured as well: Tasks and classifiers.",
        ),
    )  # fmt: skip


def _of_measures() -> tuple[Departure, ...]:
    return (
        Departure(
            "measures", "Gradients through the attention weights",
            "Not stated; Jain and Wallace's code holds the weights fixed.",
            "They flow; held fixed where said.",
            "With weights held fixed, the gradient of a hidden state is its weight: agreement "
            "would be perfect by construction, and the paper's is not.",
            "Dispersion by either: Does sparse attention give sparse importance?",
        ),
        Departure(
            "measures", "From a gradient to one number a token",
            "The gradient's length, by its equation. Jain and Wallace's code takes the absolute "
            "value of the gradient's product with the embedding, for hidden states of its sum.",
            "The length; the product beside it, of inputs.", "The paper's definition.",
            "Where the truth is known: Does attention agree with importance?",
        ),
        Departure(
            "measures", "Output whose gradient is taken", "The output ŷ.", "The logit.",
            "It does not underflow when the classifier is certain.",
            "None: the factor between them is the same for all tokens of a document and cancels.",
        ),
        Departure(
            "measures", "Documents observed", "All of the test split.",
            f"{Spec().observed}, chosen by hash; accuracy on all of the split.",
            "What leave-one-out and influence cost grows at least with the square of a text's "
            "length.",
            "In the intervals, which are for new documents.",
        ),
        Departure(
            "measures", "Documents without a value", NOT_STATED,
            "Left out of that measure: a document of one token, or one whose values are all tied.",
            "Such a document has no order to compare.",
            "The share left out stands beside the means.",
        ),
        Departure(
            "measures", "Loss of the adversary",
            "Wiegreffe and Pinter's, which subtracts a Kullback–Leibler divergence.",
            "Subtracts the Jensen–Shannon divergence; a retrained adversary learns the base's "
            "predictions first, and keeps them by cross-entropy; then, for a few batches, "
            "attention alone seeks divergence. Epochs are chosen by distance less divergence.",
            "The other is infinite under exact zeros. Diverging from the beginning, or by the "
            "distance of predictions, some adversaries never learned to predict.",
            "IMDb's BiLSTM, dev split, distance less divergence: −.618 by cross-entropy, −.529 "
            "by the distance (seed 0; a frozen one: −.590 by either). Wiegreffe and Pinter's "
            "loss is not measured: it is undefined for sparse attention.",
        ),
        Departure(
            "measures", "Epoch of the adversary", NOT_STATED,
            "The one with the lowest loss on dev, three epochs after which training ends; ten, for "
            "the retrained Transformer's on 20News, where an epoch has few batches.",
            "Wiegreffe and Pinter choose it on the test split.",
            "20News's Transformer, dev split, distance less divergence: −.087 ended after three, "
            "−.477 after ten (seed 0).",
        ),
        Departure(
            "statistics", "±", "The standard deviation over documents.",
            "Intervals for new documents and new seeds; both spreads beside them.",
            "They answer different questions.", "None on the means.",
        ),
        Departure(
            "statistics", "Alignment of Tables 1 and 6", NOT_STATED,
            "Additive for the BiLSTM, scaled dot for the Transformer, as in its Table 3.",
            "Its Table 6 then agrees with its Figure 3.",
            "The other pairings are on the pages over λ.",
        ),
    )  # fmt: skip


def of_the_data(tasks: Sequence[str]) -> str:
    """Return as Markdown where the data of published tasks differ from the paper's."""
    told = [
        f"- {verbatim(difference)}"
        for name, task in published.tasks().items()
        if name in tasks
        for difference in task["deviations"] or [f"{label(name)}: no known difference."]
    ]
    return "\n".join(told) or "Stated here once runs are published."


def counted() -> str:
    """Say how many departures were measured."""
    every = departures()
    tried = sum(bool(departure.variants) for departure in every)
    unknown = sum(departure.effect.startswith("Not measured") for departure in every)
    return (
        f"Of these {len(every)}, {tried} were tried both ways, on the tasks below; the effect of "
        f"{unknown} is not measured."
    )


def trained(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what was trained of each variant: settings in words, medians of epochs."""
    return (
        measured.groupby("variant", sort=False)
        .agg(
            task=("task", lambda names: ", ".join(map(label, names.unique()))),
            vectors=("vectors", lambda names: ", ".join(names.unique())),
            rates=("learning_rate", lambda rates: ", ".join(f"{x:g}" for x in rates.unique())),
            seeds=("seed", "nunique"),
            epochs=("trained", "median"),
            kept=("best_epoch", "median"),
        )
        .reset_index()
    )


def judged(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what each variant changes (`results.variants.effects`), and whether it is a change.

    With the quantity in words (``shown``), its ``tolerance``, and the ``verdict`` of
    `measures.statistics.compare` with no difference; neither for numbers of tokens.
    """
    effects = variants.effects(measured)
    counts = effects["quantity"].isin([name for name in variants.MEANS if "effective" in name])
    scores = effects["quantity"].isin(variants.SCORES)
    tolerance = scores.map({True: ACCURACY_TOLERANCE, False: TOLERANCE}).mask(counts)
    verdicts = [
        None if pd.isna(most) else compare(row["low"], row["high"], 0.0, most)
        for row, most in zip(effects.to_dict("records"), tolerance, strict=True)
    ]
    return effects.assign(tolerance=tolerance, verdict=pd.Series(verdicts, effects.index, object))


def unfinished(measured: pd.DataFrame) -> str:
    """Say which runs the limit of epochs stopped, before they were `patience` epochs past best."""
    if measured.empty:
        return NOT_MEASURED
    parts = []
    for (variant, encoder), some in measured.groupby(["variant", "encoder"], sort=False):
        impatient = some["trained"] < some["best_epoch"] + some["patience"]
        if stopped := int((impatient & (some["trained"] == some["epochs"])).sum()):
            parts.append(f"{variant}, {label(encoder)}: {stopped} of {len(some)} runs")
    if not parts:
        return "Every run was stopped by patience, not by the limit of epochs."
    return (
        f"Stopped by the limit of epochs, not by patience: {'; '.join(parts)}. For these, the "
        "effect above is one of the rate and of too little training together."
    )


def by_setting(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the paper's figures under softmax beside ours with each setting.

    One row a figure and ``variant``: ``item`` of the paper, ``task``, ``encoder``, ``quantity``,
    the paper's ``value``, our mean over seeds (``here``), and how far that is ``away``.
    """
    cell = ["task", "encoder", "quantity"]
    theirs = pd.concat([paper.table3(), paper.table1(), paper.table6()])
    softmax = theirs["projection"].isna() | (theirs["projection"] == "softmax")
    theirs = theirs[softmax & theirs["quantity"].isin(variants.QUANTITIES)]
    means = measured.groupby(["variant", "task", "encoder"], sort=False)[list(variants.QUANTITIES)]
    ours = means.mean().melt(ignore_index=False, var_name="quantity", value_name="here")
    both = theirs[["item", *cell, "value"]].merge(ours.reset_index(), on=cell)
    return both.assign(away=(both["here"] - both["value"]).abs())


def settings_side_by_side(figures: pd.DataFrame) -> pd.DataFrame:
    """Return `by_setting` with a column for each variant, the quantities in words (``shown``)."""
    named = figures.assign(shown=figures["quantity"].map(variants.QUANTITIES))
    row = ["item", "task", "encoder", "shown", "value"]
    wide = named.pivot_table(index=row, columns="variant", values="here", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def nearest_setting(figures: pd.DataFrame) -> str:
    """Say which setting comes closest to the paper's figures, of `by_setting`."""
    if figures.empty:
        return NOT_MEASURED
    cell = [figures[name] for name in ("task", "encoder", "quantity")]
    closest = figures["away"] == figures.groupby(cell)["away"].transform("min")
    marks = closest.groupby(figures["variant"], sort=False).sum()
    away = figures.groupby("variant", sort=False)["away"].mean()
    return (
        f"Nearest to the paper, of {len(settings_side_by_side(figures))} figures: "
        + "; ".join(f"{name}, {count}" for name, count in marks.items())
        + ". Mean distance from the paper: "
        + "; ".join(f"{name}, {gap:.3f}" for name, gap in away.items())
        + ". None of these is the paper's own setting: its word vectors are not ours, and its "
        "number of epochs is not known."
    )


def hidden_less_inputs(measured: pd.DataFrame) -> pd.DataFrame:
    """Return τ-b with hidden states less τ-b with inputs, by gradients (claim 4).

    One row a ``variant``, ``task`` and ``encoder``: ``mean``, ``min``, ``max``, ``size`` over
    seeds.
    """
    gap = effects.gaps(measured)["gap_gradient"]
    cell = [measured[name] for name in ("variant", "task", "encoder")]
    return gap.groupby(cell, sort=False).agg(["mean", "min", "max", "size"]).reset_index()


def verdict(effects: pd.DataFrame, gaps: pd.DataFrame) -> str:
    """Say what the variants change, given `judged` and `hidden_less_inputs`."""
    if effects.empty:
        return NOT_MEASURED
    known = effects.dropna(subset="verdict")
    counts = {word: int((known["verdict"] == word).sum()) for word in ("same", "undecided")}
    differing = [
        f"{row['variant']}, {label(row['task'])}, {label(row['encoder'])}: {row['shown']} "
        f"{signed(row['difference'], '+.3f')}"
        for row in known[known["verdict"] == "different"].to_dict("records")
    ]
    named = f"Different: {'; '.join(differing)}. " if differing else ""
    higher = (
        "Agreement with hidden states is the higher one in every run of every variant."
        if (gaps["min"] > 0).all()
        else "Which agreement is the higher one depends on the variant."
    )
    return (
        f"Of {len(known)} comparisons of another setting with this report's, {counts['same']} say "
        f"the same, {len(differing)} different, and {counts['undecided']} are undecided with this "
        f"few seeds. {named}{higher}"
    )
