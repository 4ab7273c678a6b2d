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
# Before asking what attention explains, we look at what is to be explained. Every number on the
# later pages comes from the classifiers of this one.

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
from sparseattn import parameters

p = parameters.check(globals(), "02-tasks-and-classifiers")

# %% [markdown]
# ## The claim
#
# The paper trains binary classifiers on three tasks and reports that sparse projections cost no
# accuracy worth mentioning (its Table 3 gives one accuracy a task and encoder). The classifier is
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
from sparseattn import charts
from sparseattn.cells import cell, classifier_names, measurements
from sparseattn.tables import table
from sparseattn.tasks import load_task

data = load_task(p.task, p.task_options)
runs = p.runs()
frame = measurements(runs)

# %% [markdown]
# ## The task

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown

from sparseattn import paper

sizes = pd.DataFrame(data.summary())
theirs = paper.table3().query("task == @data.name").set_index("quantity")["value"]
sizes["paper"] = [theirs.get(f"{split}_documents") for split in sizes["split"]]
table(
    sizes,
    f"The splits of the task {data.name}; {len(data.vocabulary):,} words are known.",
    columns={
        "split": "split",
        "documents": "documents",
        "paper": "documents in the paper",
        "positive_share": "share of class 1",
        "tokens_mean": "mean tokens",
        "tokens_max": "most tokens",
        "unknown_share": "share of unknown words",
    },
    formats={"tokens_mean": ".1f", "unknown_share": ".1%"},
)

# %% tags=["hide-input"]
Markdown("Where this departs from the paper:\n\n" + "\n".join(f"- {d}" for d in data.deviations))

# %% [markdown]
# ## Accuracy

# %% tags=["hide-input"]
from sparseattn.statistics import summarise

accuracy = summarise(frame, [*paper.CELL, "alpha", "classifier"], ["correct"])
reported = paper.table3().query("task == @data.name and quantity == 'accuracy'")
reported = reported.assign(
    classifier=classifier_names(reported), projection="softmax", mean=reported["value"]
)
charts.show(
    charts.paper_versus_here(
        accuracy,
        reported if len(reported) else None,
        group="classifier",
        colour="projection",
        title="Accuracy on the observed test documents",
        domain=(0.4, 1),
    ),
    name="accuracy",
    caption="Accuracy by classifier and projection, with 95 % intervals over documents and seeds.",
    description="Points with intervals: accuracy on test documents for each encoder and alignment, "
    "one colour for each projection.",
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
        seeds=("seed", "count"),
    )
    .reset_index()
)
table(
    whole,
    "Accuracy and ROC-AUC on the whole test split; means over seeds.",
    columns={
        "classifier": "classifier",
        "sparsity": "projection",
        "accuracy": "accuracy",
        "sd": "sd over seeds",
        "auc": "ROC-AUC",
        "epochs": "epochs trained",
        "seeds": "seeds",
    },
    formats={"accuracy": ".3f", "sd": ".3f", "auc": ".3f", "epochs": ".1f"},
)

# %% [markdown]
# ## Learning
#
# Training stops when the ROC-AUC on the held-out documents of the dev split has not risen for some
# epochs, and the weights of its best epoch are kept. The test split plays no part in it.

# %% tags=["hide-input"]
without_lambda = [run for run in runs if run.spec.projection != "sparsegen"] or runs
curves = pd.concat([run.curve.assign(**cell(run)) for run in without_lambda])
charts.show(
    charts.learning_curves(curves, colour="projection", panel="classifier"),
    name="learning-curves",
    caption="ROC-AUC on the dev split over the epochs, one line a seed.",
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

# %% tags=["hide-input"]
# NBVAL_CHECK_OUTPUT
without, with_context = (run.manifest["accuracy"] for run in controls)
print("an embedding alone stays near chance:", without < 0.65)
print("a BiLSTM reads the context:", with_context > 0.95)

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
from sparseattn.statistics import differences

cost = (
    differences(frame, "projection", ("sparsemax", "softmax"), ["classifier"], ["correct"])
    if {"softmax", "sparsemax"} <= set(p.projections)
    else None
)
sentences = [
    f"{row.classifier}: {row.mean * 100:+.1f} points [{row.low * 100:+.1f}, {row.high * 100:+.1f}]"
    for row in (cost.itertuples() if cost is not None else [])
]
Markdown(
    "Sparsemax against softmax, accuracy paired by document: " + "; ".join(sentences) + "."
    if sentences
    else "Softmax and sparsemax were not both asked for: no comparison on this page."
)

# %% tags=["remove-input"]
from sparseattn.provenance import Provenance

Provenance("02-tasks-and-classifiers", p, [*runs, *controls])
