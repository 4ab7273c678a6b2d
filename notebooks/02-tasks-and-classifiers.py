# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tasks and classifiers
#
# **What do the classifiers read, how well do they do, and how sparse does their attention become?**
#
# Before asking what attention explains, we look at what is to be explained. This page trains small
# classifiers on one task, by default *planted*: texts made up so that we know which words decide.
# The later pages mainly show larger runs of the same classifiers, published with this book, on the
# paper's tasks SST, 20News and IMDb. How accurate those are stands in {doc}`07-paper`.

# %% tags=["parameters", "hide-input"]
task = "planted"
task_options = {}
encoders = ["none", "bilstm", "transformer"]
alignments = ["additive"]
projections = ["softmax", "sparsemax"]
lams = [-10.0, 0.5]
alphas = []
seeds = [0, 1, 2]
observed = 100
epochs = 5
learning_rate = None
vectors = None
device = "auto"
jobs = None

# %% tags=["remove-input"]
from sparseattn.report import parameters

p = parameters.check(globals(), "02-tasks-and-classifiers")

# %% [markdown]
# ## The claim
#
# The paper trains binary classifiers on three tasks (SST, 20News and IMDb). Its Table 3 gives one
# accuracy a task and encoder, not one a projection; what sparse projections cost is measured here.
# The classifier is
#
# $$
# \begin{gathered}
# h = \mathrm{enc}(X), \qquad a_i = \mathrm{align}(h_i), \\
# \alpha = \varphi(a), \qquad f = w^\top \textstyle\sum_i \alpha_i h_i + b,
# \end{gathered}
# $$
#
# where $X_i$ is the embedding of token $i$ of a document of $n$ tokens, $h_i$ its hidden state,
# $a_i$ a score, $\varphi$ a projection onto the simplex
# ({doc}`01-scores-to-attention`), $f$ the logit of the positive class. The encoder is a BiLSTM, a
# Transformer of two layers with one head, or none ($h = X$, a control without context); the
# alignment is *additive*, $a_i = v^\top \tanh(W h_i + b_a)$, or *scaled dot*,
# $a_i = u^\top h_i / \sqrt{m}$ for states of size $m$, both without a query as in
# {cite:t}`jain2019attention`. {ref}`A drawing of it, and an example to check by hand
# <measures-classifier>`.

# %% tags=["remove-cell"]
import numpy as np
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.tables import table
from sparseattn.data import planted
from sparseattn.data.tasks import load_task
from sparseattn.data.words import MARKERS
from sparseattn.measures.statistics import differences, summarise
from sparseattn.results import paper
from sparseattn.results.frames import cell, measurements
from sparseattn.wording import classifier_names, label

data = load_task(p.task, p.task_options)
runs = p.runs()
frame = measurements(runs)

# %% [markdown]
# ## The task

# %% tags=["hide-input"]
about = f"This page's task is {label(data.name)}, one of the paper's three."
if data.name not in set(paper.table3()["task"]):
    about = f"This page's task is {label(data.name)}, none of the paper's three."
if p.task == "planted":
    made = planted.PlantedOptions(**p.task_options)
    about = (
        "**The planted task** is made up and none of the paper's three. A document is a shuffled "
        f"row of {made.length[0]} to {made.length[1]} words. Its {made.cues} *cues*, such as "
        f"“{planted.POSITIVE[0]}” or “{planted.NEGATIVE[0]}”, decide its class by majority"
        + (", each together with the word before it" if made.context else "")
        + f"; {made.distractors} *distractors*, such as “{planted.DISTRACTORS[0]}”, say nothing "
        "about the class, nor does the rest."
    )
Markdown(about)

# %% tags=["hide-input"]
sizes = pd.DataFrame(data.summary())
theirs = paper.table3().query("task == @data.name and quantity != 'accuracy'")
theirs = theirs.set_index("quantity")["value"]
sizes["paper"] = theirs.reindex(sizes["split"] + "_documents").to_numpy()
COLUMNS = {
    "split": "split",
    "documents": "documents",
    "paper": "documents in the paper",
    "positive_share": "share of class 1",
    "tokens_mean": "mean tokens",
    "tokens_max": "most tokens",
    "unknown_share": "share of unknown words",
}
table(
    sizes,
    "The documents to train on, to stop training by (dev) and to report on (test). The "
    f"classifiers know {len(data.vocabulary) - len(MARKERS):,} different words.",
    columns={name: title for name, title in COLUMNS.items() if sizes[name].fillna(0).any()},
    formats={"tokens_mean": ".1f", "unknown_share": ".1%"},
)

# %% tags=["hide-input"]
Markdown("Where this departs from the paper:\n\n" + "\n".join(f"- {d}" for d in data.deviations))

# %% [markdown]
# ## Accuracy

# %% tags=["hide-input"]
observed_count = frame["document"].nunique()
Markdown(
    f"The *observed documents* are {observed_count:,} of the {len(data.test):,} test documents, "
    "chosen without regard to their content and the same for every classifier. Whatever is "
    "measured word by word is measured on these; so is the accuracy in the chart."
)

# %% tags=["hide-input"]
accuracy = summarise(frame, [*paper.CELL, "alpha", "sparsity", "classifier"], ["correct"])
accuracy = accuracy.sort_values(["lam", "alpha"], na_position="first", kind="stable")
reported = paper.table3().query("task == @data.name and quantity == 'accuracy'")
reported = reported.assign(
    classifier=classifier_names(reported), sparsity="softmax", mean=reported["value"]
)
lowest = np.nanmin([*accuracy["low"], *accuracy["mean"], *reported["mean"], 0.95])
charts.show(
    charts.paper_versus_here(
        accuracy,
        reported if len(reported) else None,
        group="sparsity",
        colour="classifier",
        title="Accuracy on the observed documents",
        domain=(max(0, np.floor(20 * lowest) / 20), 1),
    ),
    name="accuracy",
    caption="Accuracy by projection and classifier, with 95 % intervals over documents and seeds. "
    "The axis does not start at zero, and intervals are cut at its end.",
    description="Points with intervals: accuracy on the observed documents, a row for each "
    "projection and each λ, one colour for each encoder and alignment.",
)

# %% tags=["hide-input"]
overall = pd.DataFrame(
    [
        {
            **cell(run),
            "accuracy": run.manifest["accuracy"],
            "auc": run.manifest["auc"],
            "epochs": len(run.curve),
        }
        for run in runs
    ]
)
whole = (
    overall.groupby(["classifier", "sparsity"], sort=False)
    .agg(
        accuracy=("accuracy", "mean"),
        sd=("accuracy", "std"),
        auc=("auc", "mean"),
        epochs=("epochs", "mean"),
    )
    .reset_index()
)
table(
    whole,
    f"Accuracy and ROC-AUC on the whole test split; means over {len(p.seeds)} "
    f"seed{'s' if len(p.seeds) > 1 else ''}.",
    columns={
        "classifier": "classifier",
        "sparsity": "projection",
        "accuracy": "accuracy",
        "sd": "sd, seeds",
        "auc": "ROC-AUC",
        "epochs": "epochs",
    },
    formats={"accuracy": ".3f", "sd": ".3f", "auc": ".3f", "epochs": ".1f"},
)

# %% [markdown]
# ## Learning
#
# Training stops when the ROC-AUC on the held-out documents of the dev split has not risen for some
# epochs, or when all epochs allowed are used up; the weights of its best epoch are kept. The test
# split plays no part in it.

# %% tags=["hide-input"]
without_lambda = [run for run in runs if run.spec.projection != "sparsegen"] or runs
curves = pd.concat([run.curve.assign(**cell(run)) for run in without_lambda])
drawn = ", ".join(label(name) for name in curves["projection"].unique())
left_out = " Sparsegen is left out, for its λ would share one colour."
charts.show(
    charts.learning_curves(curves, colour="projection", panel="classifier"),
    name="learning-curves",
    caption="ROC-AUC on the dev split over the epochs, one line a seed. Drawn: "
    f"{drawn}.{left_out if len(without_lambda) < len(runs) else ''}",
    description="Learning curves, a panel for each classifier: ROC-AUC on held-out documents "
    "against the epoch, rising and levelling off.",
)

# %% [markdown]
# ## How sparse attention really is
#
# λ is what a classifier was given; the share of tokens with a weight above zero is what it made of
# it. Both are needed, since training can scale the scores ({doc}`01-scores-to-attention`).

# %% tags=["hide-input"]
NO_LAMBDA = Markdown("None of these classifiers has a λ: there is nothing to draw.")
support = summarise(frame[frame["lam"].notna()], [*paper.CELL, "classifier"], ["support_share"])
NO_LAMBDA if support.empty else charts.show(
    charts.over_lambda(support, colour="classifier", title="Share of tokens with any attention"),
    name="realised-sparsity",
    caption="Realised sparsity: the share of tokens that receive any attention, over λ, with 95 % "
    "intervals.",
    description="Lines falling with lambda: the share of tokens with non-zero attention, one line "
    "for each classifier.",
)

# %% tags=["hide-input"]
table(
    summarise(frame, ["classifier", "projection", "lam"], ["support", "attention_effective"])
    .pivot_table(
        index=["classifier", "projection", "lam"],
        columns="quantity",
        values="mean",
        sort=False,
        dropna=False,
        observed=True,
    )
    .dropna(how="all")
    .reset_index(),
    "Tokens attended to, and the effective number of tokens exp(H) with H the Shannon entropy of "
    "the weights; means over documents and seeds.",
    columns={
        "classifier": "classifier",
        "projection": "projection",
        "lam": "λ",
        "support": "non-zero weights",
        "attention_effective": "effective tokens",
    },
    formats={"lam": "g"},
)

# %% [markdown]
# ## Control: a task whose answer is known
#
# In the planted task we know which tokens decide. In its contextual variant a cue counts only
# together with the word before it, so that a classifier that sees each word by itself must fail: if
# it did not, the task would leak.

# %% tags=["remove-cell"]
control = p.model_copy(
    update={
        "task": "planted",
        "task_options": {"context": True},
        "encoders": ["none", "bilstm"],
        "alignments": ["additive"],
        "projections": ["softmax"],
        "lams": [],
        "alphas": [],
        "seeds": p.seeds[:1],
        "epochs": None,
        "learning_rate": None,
        "vectors": None,
    }
)
controls = control.runs()

# %% tags=["hide-input"]
table(
    pd.DataFrame([{**cell(run), "accuracy": run.manifest["accuracy"]} for run in controls]),
    "Test accuracy on the contextual planted task; chance is 0.5.",
    columns={"classifier": "classifier", "accuracy": "accuracy"},
    formats={"accuracy": ".3f"},
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
without, with_context = (run.manifest["accuracy"] for run in controls)
print("an embedding alone stays near chance:", without < 0.65)
print("a BiLSTM reads the context:", with_context > 0.95)

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
PAIR = ("sparsemax", "softmax")
summary = Markdown("Softmax and sparsemax were not both asked for: no comparison on this page.")
comparison = None
if set(PAIR) <= set(p.projections):
    cost = differences(frame, "projection", PAIR, ["classifier"], ["correct"])
    both = frame[frame["projection"].isin(PAIR)]
    shares = summarise(both, ["classifier", "projection"], ["support_share"])
    shares = shares.pivot_table("mean", "classifier", "projection", sort=False)
    cost[["mean", "low", "high"]] *= 100
    cost = cost.merge(shares[list(PAIR)], on="classifier")
    worse, better = (cost["high"] < 0).sum(), (cost["low"] > 0).sum()
    room = max(0, -cost["low"].min())
    low, high = cost["sparsemax"].min(), cost["sparsemax"].max()
    became = "becomes sparse" if high < 0.5 else "does not always become sparse"
    price = "with no loss of accuracy that shows" if worse == 0 else "and accuracy suffers"
    summary = Markdown(
        f"**On this task, attention {became}, {price}.** Under sparsemax, classifiers attend to "
        f"{low:.0%} to {high:.0%} of the tokens, under softmax to {cost['softmax'].mean():.0%}. "
        f"The interval of the change of accuracy lies below zero for {worse} of {len(cost)} "
        f"classifiers and above zero for {better}. The intervals leave room for a loss of up to "
        f"{room:.1f} points."
    )
    comparison = table(
        cost,
        "Sparsemax in place of softmax, on the observed documents: the change of accuracy in "
        "points (hundredths), paired by document, with its 95 % interval; and the share of tokens "
        "with any attention under sparsemax.",
        columns={
            "classifier": "classifier",
            "mean": "accuracy, change",
            "low": "low",
            "high": "high",
            "sparsemax": "tokens attended to",
        },
        formats={"mean": "+.1f", "low": "+.1f", "high": "+.1f", "sparsemax": ".0%"},
    )
summary

# %% tags=["hide-input"]
comparison

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("02-tasks-and-classifiers", p, [*runs, *controls])
