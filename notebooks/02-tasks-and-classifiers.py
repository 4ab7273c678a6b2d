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
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "02-tasks-and-classifiers")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.data.tasks import load_task
from sparseattn.data.words import MARKERS
from sparseattn.results.frames import measurements
from sparseattn.verdicts import effects, training

data = load_task(p.task, p.task_options)
runs = p.runs()
frame = measurements(runs)

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
cost = training.cost_of_sparsemax(frame)
Markdown(training.cost_in_words(cost))

# %% tags=["hide-input"]
charts.table(
    cost,
    "Sparsemax in place of softmax, on the observed documents: the change of accuracy in "
    "points (hundredths), paired by document, with its 95 % interval; and the share of tokens "
    "with any attention under sparsemax.",
    columns="classifier mean low high sparsemax",
    titles={"mean": "accuracy, change", "sparsemax": "tokens attended to"},
    formats={"mean": "+.1f", "low": "+.1f", "sparsemax": ".0%"},
    missing="",
)

# %% [markdown]
# ## What the paper says, and how it is measured
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

# %% [markdown]
# ## The task

# %% tags=["hide-input"]
Markdown(training.about(p.task, p.task_options))

# %% tags=["hide-input"]
charts.table(
    training.sizes(data),
    "The documents to train on, to stop training by (dev) and to report on (test). The "
    f"classifiers know {len(data.vocabulary) - len(MARKERS):,} different words.",
    titles={"paper": "documents in the paper"},
)

# %% tags=["hide-input"]
Markdown(training.departures_of(data))

# %% [markdown]
# ## Accuracy

# %% [markdown]
# Training stops when the ROC-AUC on the held-out documents of the dev split has not risen for three
# epochs, or when all epochs allowed are used up; the weights of its best epoch are kept. The test
# split plays no part in it.

# %% tags=["hide-input"]
Markdown(training.observed(frame, data))

# %% tags=["hide-input"]
charts.table(
    training.whole_test_split(runs),
    "Accuracy and ROC-AUC on the whole test split, means over seeds.",
    columns="classifier sparsity accuracy sd auc epochs",
)

# %% [markdown]
# ## How sparse attention really is
#
# λ is what a classifier was given; the share of tokens with a weight above zero is what it made of
# it. Both are needed, since training can scale the scores ({doc}`01-scores-to-attention`).

# %% tags=["hide-input"]
realised = effects.levels(frame.dropna(subset="lam"), ["classifier", "lam"], ["support_share"])
charts.show(
    charts.over_lambda,
    realised,
    colour="classifier",
    title="Share of tokens with any attention",
    name="realised-sparsity",
    caption=f"{effects.reach(realised, 'classifier', '.0%')} Realised sparsity: the share of "
    "tokens that receive any attention, over λ, with 95 % intervals.",
)

# %% tags=["hide-input"]
charts.table(
    training.tokens(frame),
    "Tokens attended to, and the effective number of tokens exp(H) with H the Shannon entropy of "
    "the weights; means over documents and seeds.",
    columns="classifier projection lam support attention_effective",
)

# %% [markdown]
# ## Control: a task whose answer is known
#
# In the planted task we know which tokens decide. In its contextual variant a cue counts only
# together with the word before it, so that a classifier that sees each word by itself must fail: if
# it did not, the task would leak.

# %% tags=["remove-cell"]
controls = p.model_copy(update=training.IN_CONTEXT | {"seeds": p.seeds[:1]}).runs()

# %% tags=["hide-input"]
charts.table(
    training.whole_test_split(controls),
    "Test accuracy on the contextual planted task; chance is 0.5.",
    columns="classifier accuracy",
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
without, with_context = (run.manifest["accuracy"] for run in controls)
print("an embedding alone stays near chance:", without < 0.65)
print("a BiLSTM reads the context:", with_context > 0.95)

# %% tags=["remove-input"]
provenance.Provenance(p, [*runs, *controls])
