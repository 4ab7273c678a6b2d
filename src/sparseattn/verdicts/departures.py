"""Where this report departs from the paper, or had to choose what the paper does not say.

The settings named are read from the code that uses them. Where data differ, the task itself says
so (`data.tasks.Task.deviations`). What a departure changes, where it was measured, is in
`results.variants`.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from sparseattn.experiments.specs import Spec
from sparseattn.models.classifier import Transformer
from sparseattn.models.training import LEARNING_RATES
from sparseattn.results import paper, published
from sparseattn.wording import label, listed

Part = Literal["training", "classifier", "measures", "statistics"]


@dataclass(frozen=True)
class Departure:
    """One departure.

    Attributes
    ----------
    part
        Of the experiment.
    what
        What is at stake, in a few words.
    paper, here
        What the paper does, or that it does not say; what is done here.
    why
        The reason.
    effect
        What is known of its effect without a measurement; empty where `variants` measured it.
    variants
        Names of the variants that measure it.
    """

    part: Part
    what: str
    paper: str
    here: str
    why: str
    effect: str = ""
    variants: tuple[str, ...] = ()


NOT_STATED = "Not stated."
NOT_A_SETTING = "Not measured: the classifier has no such setting."


def departures() -> tuple[Departure, ...]:
    """Return all departures, those of training first."""
    return (*_of_training(), *_of_the_classifier(), *_of_measures())


def as_frame() -> pd.DataFrame:
    """Return `departures`, a row each, with where the effect of a variant is measured."""
    rows = [
        {**vars(one), "effect": one.effect or f"Measured below: {', '.join(one.variants)}."}
        for one in departures()
    ]
    return pd.DataFrame(rows)


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
            "report's own data, and serve better than random ones.",
            variants=("random vectors", "the task's own vectors"),
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
            "The length.", "The paper's definition.", "Not measured.",
        ),
        Departure(
            "measures", "Output whose gradient is taken", "The output ŷ.", "The logit.",
            "It does not underflow when the classifier is certain.",
            "None: the factor between them is the same for all tokens of a document and cancels.",
        ),
        Departure(
            "measures", "Documents observed", "All of the test split.",
            f"{Spec().observed}, chosen by hash; accuracy on all of the split.",
            "Influence on every hidden state costs a backward pass a token.",
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
