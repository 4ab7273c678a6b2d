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
# # Are inputs and hidden states interchangeable?
#
# **Attention weighs hidden states. May we read its weights as if they were on the words at the same
# places?**
#
# A hidden state has seen the whole text. If it still stands for the word at its own place, a weight
# on it is a weight on that word. If it stands for many words, sparse attention over states says
# little about which words matter. The paper measures over how many words a state spreads.

# %% tags=["parameters", "hide-input"]
task = "planted"
task_options = {}
encoders = ["bilstm", "transformer"]
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
tasks = ["sst", "newsgroups", "imdb"]
jacobians = 6

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "03-hidden-states")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.results import paper, published, side_by_side
from sparseattn.verdicts import answers, claims, effects
from sparseattn.wording import span

runs = p.runs()
frame = effects.derived(side_by_side.together(runs, p.tasks))
cells = side_by_side.without_lambda(frame)
ONE_SEED = "With one seed, the interval is over documents alone, and its point may hide it."

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
judged = claims.cells(frame, numbers=[1])
Markdown(answers.opening(judged, [1], frame))

# %% tags=["hide-input"]
answers.figure(judged)

# %% [markdown]
# ## What the paper says, and how it is measured
#
# For a document of $n$ tokens with embeddings $X_1, \dots, X_n$ and hidden states
# $h_1, \dots, h_n$, the **influence** of input $i$ on state $p$, and the **dispersion** of all
# influences on it:
#
# $$
# \begin{gathered}
# g_{h_p}(x_i) = \frac{\|\partial \|h_p\|_2/\partial X_i\|_2}
# {\sum_k \|\partial \|h_p\|_2/\partial X_k\|_2}, \\
# \frac{H(g_{h_p})}{\log n} = -\frac{1}{\log n} \sum_{i=1}^n g_{h_p}(x_i) \log g_{h_p}(x_i).
# \end{gathered}
# $$
#
# Here $H$ is the Shannon entropy. Dispersion is 0 when one input has all the influence and 1 when
# all have the same.
#
# - **Claim 1**: a hidden state is not interchangeable with its input, for dispersion is high for
#   every task, encoder and projection (the paper's Table 1).
#
# The paper's numbers beside ours, one by one: <a href="07-paper.html#item=Table+1">its Table 1</a>.
# Tasks marked *(live)* are computed when this page is built. The others are published with the
# book.

# %% [markdown]
# ## Over how many inputs a state spreads

# %% tags=["hide-input"]
dispersion = effects.levels(cells, effects.CELL, {"influence_dispersion": "noise"})
charts.show(
    charts.paper_versus_here,
    dispersion,
    effects.reported(paper.table1(), frame),
    group="origin",
    panel="classifier",
    title="Dispersion of influence",
    null="null",
    domain=(0, 1),
    name="dispersion",
    caption=f"{effects.reach(dispersion, 'sparsity')} Noise would give "
    f"{span(dispersion['null'])}. Dispersion of the inputs' influence on a hidden state (the "
    "paper's Table 1), mean over states and documents with 95 % intervals over documents and "
    "seeds; and that of noise. "
    f"{ONE_SEED}",
)

# %% [markdown]
# High dispersion is less than it seems. Influences drawn at random, $|z_i|$ with $z_i$ from a
# standard normal distribution, come out close to 1 as well, and the more so the longer the text.
# And that is noise of single numbers. Influence is the length of a gradient, a vector with 300
# entries; lengths of random vectors of that size are alike, and give .9997 in a text of 19 tokens
# ({ref}`measures-dispersion`). Easier to read is $e^H$, the **effective number** of inputs: how
# many inputs of equal influence would have the same entropy.

# %% tags=["hide-input"]
counts = effects.means(cells, effects.CELL, ["effective_influence", "length"])
Markdown(
    f"On average, a state has {span(counts['effective_influence'], '.0f')} effective inputs, in "
    f"texts of {span(counts['length'], '.0f')} tokens."
)

# %% tags=["hide-input"]
charts.table(
    dispersion.merge(counts, on=effects.CELL),
    "Dispersion of influence and effective number of inputs, means over documents. How much "
    "documents differ and how much seeds differ are two things, and shown apart.",
    columns="origin classifier sparsity effective_influence length mean low high null "
    "sd_documents sd_seeds seeds",
    titles={"mean": "dispersion", "null": "noise"},
    fold="Number by number",
)

# %% [markdown]
# ## The input at the same place
#
# Interchangeable or not, the question is about one input: the one at the state's own place, its
# *co-indexed* input. Dispersion does not look at it. A state may draw on every word and still owe
# most to its own. So we ask for the co-indexed input's share of the influence; how often it comes
# first; which share of the other inputs comes before it; and the share of the inputs at most two
# places away.

# %% tags=["hide-input"]
own = effects.co_indexed(cells, effects.WHERE)
charts.show(
    charts.paper_versus_here,
    own,
    group="origin",
    colour="classifier",
    panel="shown",
    title="Mean over states and documents",
    null="null",
    domain=(0, 1),
    name="co-indexed",
    caption=f"{effects.reach(own, 'shown')} What a hidden state owes to the input at its own place "
    "and near it, over projections, with 95 % intervals over documents and seeds; and what "
    "it would if all inputs were alike. "
    f"{ONE_SEED}",
)

# %% tags=["hide-input"]
charts.table(
    effects.co_indexed(cells, effects.CELL),
    "The same, projection by projection.",
    columns="shown origin classifier sparsity mean low high null sd_documents sd_seeds",
    titles={"shown": "measure"},
    fold="Number by number",
)

# %% [markdown]
# An input can be the first and have little of the whole, when the rest is divided among many. The
# input at the state's own place:

# %% tags=["remove-cell"]
sampled = effects.whole_jacobians(runs, p.tasks, p.jacobians)
NONE = "No whole Jacobians were taken."

# %% tags=["hide-input"]
charts.table(
    effects.place_of_the_word(own, sampled),
    "The co-indexed input: its share of the influence on a state, how often it comes first, and "
    "both if all inputs were alike. The whole Jacobian is of few documents: see below.",
    formats=dict.fromkeys(effects.PLACE.values(), ".0%"),
)

# %% [markdown]
# ## What would change our mind
#
# **The length of a gradient may miss what matters.** The importance of words, measured so, hardly
# finds the decisive ones in planted texts with a BiLSTM under softmax
# ({ref}`where the truth is known <agreement-truth>`). Influence is measured the same way.
#
# **The length of a state is one of its directions.** Influence asks how the *length* $\|h_p\|_2$
# changes, $\|u^\top J\|$ with the Jacobian $J = \partial h_p/\partial X_i$ and the direction
# $u = h_p/\|h_p\|_2$. What turns a state without stretching it goes unseen. The paper's Appendix A
# finds that the norm of the whole Jacobian, $\|J\|_F$, gives nearly the same. But a Transformer
# layer that ends in layer normalisation, $h_p = \gamma \odot z_p + \beta$ with $\|z_p\|_2$
# constant, has states of nearly one length by construction: their length moves only as far as
# training has moved $\gamma$ from a constant and $\beta$ from zero. So we take whole Jacobians, on
# a sample of documents.

# %% tags=["hide-input"]
agree = effects.norms_agree(sampled)
charts.table(
    agree,
    "Influence by length against influence by whole Jacobian. Length varies: standard deviation of "
    "the lengths of a document's states, over their mean. Seen: the share of the squared Jacobian "
    "that lies along the state, over what a random direction would see. τ-b (Kendall's) and same "
    "first: how alike the two rank the inputs.",
    columns="origin classifier norm_variation times_chance norms_tau norms_same_top documents",
    fold="Length against whole Jacobian",
    missing=NONE,
)

# %% [markdown]
# Where what is seen lies far below chance, the paper's measure reads a small remainder. Where the
# two rank the inputs alike nonetheless, that remainder still tells what matters to the state; where
# they do not, Table 1 is about the length and not about the state.

# %% tags=["remove-input"]
Markdown(effects.seen(agree) or NONE)

# %% tags=["hide-input"]
by_norm = effects.by_norm(sampled)
charts.show(
    charts.paper_versus_here,
    by_norm,
    group="who",
    colour="norm",
    panel="shown",
    title="Mean over states and documents",
    domain=(0, 1),
    name="jacobian",
    fold="The same summaries by the whole Jacobian",
    caption="The same summaries by the length of the state, as in the paper, and by its whole "
    "Jacobian, on a sample of documents under softmax and sparsemax, with 95 % intervals.",
    missing=NONE,
)

# %% [markdown]
# **Does sparse attention make states mix more?** The paper suggests that sparsity may encourage
# contextualisation. Then influence should be *more* dispersed under sparsemax than under softmax,
# and the more so the larger λ is. The change, paired by document and seed, with the paper's:

# %% tags=["hide-input"]
change = effects.under_sparsemax(frame, effects.WHERE, ["influence_dispersion"])
Markdown(answers.contextualised(change))

# %% tags=["hide-input"]
charts.show(
    charts.paper_versus_here,
    change,
    effects.reported(effects.papers_change(), frame),
    group="origin",
    colour="classifier",
    title="Change of dispersion, sparsemax less softmax",
    zero=True,
    name="contextualisation",
    fold="The change, task by task",
    caption="Change of the dispersion of influence when sparsemax takes the place of softmax, with "
    "95 % intervals over documents and seeds. Right of zero, sparsity makes states mix more. "
    f"{ONE_SEED}",
    missing="This needs both softmax and sparsemax.",
)

# %% tags=["hide-input"]
graded = frame[frame["lam"].notna()]
series = effects.levels(graded, effects.OVER, {"influence_dispersion": "noise"})
charts.show(
    charts.over_lambda,
    series,
    colour="classifier",
    panel="origin",
    title="Dispersion of influence",
    null="null",
    domain=charts.up_to_one(series, ["mean", "low", "null"], 10),
    name="dispersion-over-lambda",
    fold="Dispersion of influence as λ grows",
    caption=f"{effects.rises(series, effects.WHERE)} "
    "Dispersion of influence as λ grows (sparser to the right), with 95 % intervals as "
    "bands, and that of noise. The axis does not start at zero. With one seed, the band is over "
    "documents alone, and its line may hide it; a classifier with one λ has none.",
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
print("dispersion is a share:", frame["influence_dispersion"].dropna().between(0, 1).all())
print("length sees no more than the whole:", not sampled["seen_share"].max() > 1 + 1e-6)

# %% tags=["remove-input"]
provenance.Provenance(p, [*published.runs(p.tasks), *runs])
