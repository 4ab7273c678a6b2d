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
# The other pages report means. Here are single documents: short reviews written for this book, as
# the small classifiers of {doc}`14-live` read them, and documents behind the means. Choose one and
# a classifier, drag the projection from even to sparse, and point at any token. Two panels are open
# at first; the buttons above them open the others.

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
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "08-explorer")

# %% tags=["remove-cell"]
from IPython.display import HTML, Markdown

from sparseattn.charts import table
from sparseattn.report import explorer

runs = p.runs()
controls = explorer.in_context(p)
shown = explorer.explore([*runs, *controls], opening=explorer.first_shown(p))

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
# tokens that decide: known of planted texts, as we read it in the short reviews. The small curves
# show the same document under every projection, from even to sparse: the share of tokens attended
# to, $\tau_b$ with its ceiling dashed, and the share of $h_p$ that it owes to the token at its own
# place.
#
# ## What to look for

# %% tags=["hide-input"]
HTML(shown.questions())

# %% tags=["hide-input"]
table(
    shown.documents(),
    "The documents shown, and the rule that chose each.",
    fold="How the documents were chosen",
)

# %% tags=["hide-input"]
Markdown(explorer.notes([*runs, *controls]))

# %% [markdown]
# ## What would change our mind
#
# A few documents chosen for being unlike each other are nobody's average, and a striking one proves
# nothing. How far they lead astray can be computed: agreement with the input gradient over those
# documents above that are of the page's own task, and over all of it that were observed.
# {doc}`05-agreement` has the intervals, and {doc}`07-paper` the paper's means beside ours.

# %% tags=["hide-input"]
table(
    explorer.few_and_all(runs, shown),
    f"Agreement of attention with the input gradient (τ-b): mean of the {len(shown.numbers())} "
    f"documents shown of the page's own task, and of all {len(runs[0].measurements())} observed.",
    columns="classifier sparsity few every difference",
    titles={"few": "documents shown", "every": "all observed"},
    formats={"difference": ".3f"},
)

# %% tags=["remove-input"]
Markdown(explorer.verdict(runs, shown))

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
known = shown.agreements().dropna()
print("no τ-b above its ceiling:", (known["tau"] - known["ceiling"] < 1e-3).all())

# %% tags=["remove-input"]
provenance.Provenance(p, [*runs, *controls])
