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
# # Look for yourself
#
# **One document at a time: where does attention rest, what does the output depend on, and are they
# the same tokens?**
#
# The other pages report means. Here are the documents behind them: choose one and a classifier,
# drag the projection from even to sparse, and point at any token.

# %% tags=["parameters", "hide-input"]
task = "planted"
task_options = {}
encoders = ["bilstm", "transformer", "none"]
alignments = ["additive"]
projections = ["softmax", "sparsemax"]
lams = [-10.0, 0.5]
alphas = []
seeds = [0]
observed = 100
epochs = 5
learning_rate = None
vectors = None
device = "auto"
jobs = None

# %% tags=["remove-input"]
from sparseattn.report import parameters

p = parameters.check(globals(), "08-explorer")

# %% tags=["remove-cell"]
from IPython.display import HTML, Markdown

from sparseattn.charts.tables import table
from sparseattn.measures.statistics import summarise
from sparseattn.report import explorer
from sparseattn.report.specimens import INFLUENCE_UNIT
from sparseattn.results.frames import measurements

runs = p.runs()
# Where word order decides, a hidden state must carry more than its own token.
in_context = {
    "task_options": {"context": True},
    "encoders": ["bilstm"],
    "alignments": ["additive"],
    "epochs": None,
    "learning_rate": None,
    "vectors": None,
}
planted = p.task == "planted" and not p.task_options
controls = p.model_copy(update=in_context).runs() if planted else []
shown = explorer.explore([*runs, *controls])

# %% [markdown]
# ## The documents
#
# Every panel holds the same $n$ tokens. The deeper a token's shade and the higher the bar under
# it, the larger its share, measured against the largest of that panel; a grey word has a share of
# exactly zero. *Attention* is the weight $\alpha_i$ of the hidden state $h_i$ at token $i$. The
# four *importances* are what the output owes to the embedding $X_i$, or to the state $h_i$: the
# length of the gradient of the logit $f$, and the change of the probability $\hat y$ when it is
# left out ({doc}`../measures`). *Influence on* $h_p$ is what one hidden state, that of the token
# $p$ you choose, owes to every input.

# %% tags=["hide-input"]
shown

# %% [markdown]
# **The numbers.** *Support*: tokens with a weight above zero. $\tau_b$: do attention and importance
# order the tokens alike? *At most*: the largest $\tau_b$ that ties allow. *Dispersion*: entropy of
# the shares over $\log n$; one means all alike, and random importances (*noise*) come near it.
# *Effective*: as many tokens with equal shares would have that entropy. *On ●*: the share of the
# tokens that truly decide, where these are known. The small curves show the same document under
# every projection, from even to sparse: the share of tokens attended to, $\tau_b$ with its ceiling
# dashed, and the share of $h_p$ that it owes to the token at its own place.
#
# ## What to look for

# %% tags=["hide-input"]
HTML(shown.questions())

# %% tags=["hide-input"]
listed = table(shown.documents(), "The documents shown, and the rule that chose each.")
HTML(f"<details><summary>How the documents were chosen</summary>{listed.markup}</details>")

# %% tags=["hide-input"]
notes = dict.fromkeys(
    note for run in (*runs[:1], *controls[:1]) for note in run.manifest["task"]["deviations"]
)
Markdown(
    "On the data:\n\n" + "\n".join(f"- {note}" for note in notes)
    if notes
    else "No departure from the paper's data is known."
)

# %% [markdown]
# ## What would change our mind
#
# A few documents chosen for being unlike each other are nobody's average, and a striking one proves
# nothing. How far they lead astray can be computed: agreement with the input gradient over the
# documents above, and over all that were observed. {doc}`05-agreement` has the intervals, and
# {doc}`07-paper` the paper's means beside ours.

# %% tags=["hide-input"]
frame = measurements(runs)
numbers = [document["number"] for document in shown.data["tasks"][0]["documents"]]
BY = ["classifier", "sparsity"]
TAU = ["tau_inputs_gradient"]
few = summarise(frame[frame["document"].isin(numbers)], BY, TAU)
every = summarise(frame, BY, TAU)
compared = few.merge(every[[*BY, "mean"]], on=BY, suffixes=("_few", "_every"))
compared["difference"] = compared["mean_few"] - compared["mean_every"]
table(
    compared,
    f"Agreement of attention with the input gradient (τ-b): mean of the {len(numbers)} documents "
    f"shown, and of all {frame['document'].nunique()} observed.",
    columns={
        "classifier": "classifier",
        "sparsity": "projection",
        "mean_few": "documents shown",
        "mean_every": "all observed",
        "difference": "difference",
    },
    formats={"difference": ".3f"},
)

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
astray = compared["difference"].abs()
Markdown(
    f"None: this page is for looking. Its {len(numbers)} documents miss the mean agreement of all "
    f"observed by {astray.mean():.2f} on average and by {astray.max():.2f} at worst. Claims are "
    "judged on the other pages, from all documents."
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
seen = [
    document
    for one in shown.data["tasks"]
    for classifier in one["classifiers"]
    for stop in classifier["stops"]
    for document in stop["documents"]
]
owed = [sum(row) for document in seen for row in document["influence"]["shares"] if row]
print("what a hidden state owes sums to one:", set(owed) == {round(1 / INFLUENCE_UNIT)})
above = [
    numbers["tau"] - numbers["ceiling"]
    for document in seen
    for numbers in document["measures"].values()
    if numbers["tau"] is not None
]
print("no τ-b above its ceiling:", max(above) < 1e-3)

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("08-explorer", p, [*runs, *controls])
