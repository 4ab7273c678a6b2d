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
# # Does sparse attention give sparse importance?
#
# **When attention points at few hidden states, do few words matter to the output?**
#
# Sparse attention is called interpretable because it singles out a few items. They are hidden
# states; what a reader wants singled out are words. The paper measures how widely the importance of
# the words is spread, and whether it narrows as attention does.

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

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "04-dispersion")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.results import paper, published, side_by_side
from sparseattn.verdicts import answers, claims, effects
from sparseattn.wording import span

runs = p.runs()
frame = effects.derived(side_by_side.together(runs, p.tasks))
cells = side_by_side.without_lambda(frame)
sparse = cells[cells["projection"] != "softmax"]
graded = frame[frame["lam"].notna()]

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
judged = claims.cells(frame, numbers=[2, 3])
Markdown(answers.opening(judged, [2, 3], frame))

# %% tags=["hide-input"]
answers.figure(judged)

# %% tags=["hide-input"]
charts.table(
    answers.by_yardstick(frame, [2, 3]),
    "The same claims by each measure of importance there is; the first one decides, for it comes "
    "near the decisive tokens wherever they are known. The paper's own does not.",
    columns="number by verdict counts value low high",
    fold="The same by each measure of importance",
    titles={"value": "points"},
)

# %% [markdown]
# ## What the paper says, and how it is measured
#
# For a document of $n$ tokens with embeddings $X_1, \dots, X_n$, let $f$ be the logit and
# $\hat y = \sigma(f)$ the probability of the positive class. What the output owes token $i$, by
# **gradient** and by **leave-one-out** (LOO, $\hat y_{-i}$ being the probability when the token is
# deleted), and how widely it is spread, the **dispersion**:
#
# $$
# \begin{gathered}
# g_{\hat y}(x_i) = \frac{\|\partial f/\partial X_i\|_2}{\sum_k \|\partial f/\partial X_k\|_2}, \\
# D_{\hat y}(x_i) = \frac{|\hat y - \hat y_{-i}|}{\sum_k |\hat y - \hat y_{-k}|}, \\
# \text{dispersion} = \frac{H(g)}{\log n} = -\frac{1}{\log n} \sum_{i=1}^n g(x_i) \log g(x_i).
# \end{gathered}
# $$
#
# Dispersion is 0 when one token has all the importance and 1 when all have the same.
#
# - **Claim 2**: sparse attention does not give sparse importance; dispersion stays high whatever
#   the projection (the paper's Figure 2).
# - **Claim 3**: dispersion even grows with the sparsity $\lambda$ of sparsegen (its Table 2).
#
# The paper's numbers beside ours, one by one: <a href="07-paper.html#item=Figure+2">its Figure
# 2</a> and <a href="07-paper.html#item=Table+2">its Table 2</a>. Tasks marked *(live)* are computed
# when this page is built. The others are published with this book.

# %% [markdown]
# ## From softmax to sparsemax
#
# If importance narrowed as attention does, the points below would lie far left of zero. They are
# paired by document and seed, for four measures of importance. A
# confident classifier saturates: its probability hardly moves, so LOO may show small differences
# between small numbers; the **logit** does not saturate. And gradients reach a word by two ways,
# through the hidden states and through the attention weights; **fixing attention** leaves the
# first.

# %% tags=["hide-input"]
ways = [f"dispersion_inputs_{way}" for way in ("loo", "loo_logit", "gradient", "gradient_fixed")]
change = effects.under_sparsemax(frame, effects.WHERE, ways)
charts.show(
    charts.paper_versus_here,
    change,
    group="origin",
    colour="classifier",
    panel="kind",
    title="Change of dispersion, sparsemax less softmax",
    zero=True,
    name="change",
    caption=f"{effects.sides(change)} Change of the dispersion of importance when sparsemax takes "
    "the place of softmax, with 95 % intervals over documents and seeds.",
    missing="This needs both softmax and sparsemax.",
)

# %% [markdown]
# How widely importance is spread in all: importances drawn at random, $|z_i|$ with $z_i$ from a
# standard normal distribution, are the **noise** to hold a high dispersion against. That is noise
# for leave-one-out, which gives a single number. A gradient has 300 entries a token, and the
# lengths of random vectors of that size give .9997 in a text of 19 tokens
# ({ref}`measures-dispersion`). Easier to read is $e^H$, the **effective number** of tokens: how
# many of equal importance would have the same entropy.

# %% tags=["hide-input"]
effective = {
    "attention_effective": "of attention",
    "effective_inputs_gradient": "by gradient",
    "effective_inputs_loo": "by leave-one-out",
    "length": "tokens",
}
charts.table(
    effects.means(cells, effects.CELL, effective),
    "Effective number of tokens, means over documents and seeds.",
    columns=f"origin classifier sparsity {' '.join(effective)}",
    titles=effective,
    formats=dict.fromkeys(effective, ".1f"),
    fold="Effective numbers of tokens",
)

# %% tags=["hide-input"]
spread = effects.levels(cells, effects.CELL, effects.DISPERSION)
charts.table(
    spread,
    "Dispersion of importance. The spreads over documents and over seeds are shown apart.",
    columns="origin classifier sparsity measure mean low high null sd_documents sd_seeds seeds",
    titles={"mean": "dispersion", "null": "noise"},
    fold="Dispersion, number by number",
)

# %% tags=["hide-input"]
spread_out = effects.documents(frame)
medians = effects.medians(spread_out)
charts.show(
    charts.distribution,
    spread_out,
    effects.reported(paper.figure2(), frame),
    value="dispersion",
    group="origin",
    colour="measure",
    panel="classifier",
    title="Dispersion of importance",
    name="figure-2",
    fold="How documents spread, beside the paper's Figure 2",
    caption=f"Medians: {effects.reach(medians, 'measure', value='dispersion')} "
    "How documents spread (the paper's Figure 2): half of them lie within a box, nine in "
    "ten within a line; the white stroke, and the paper's mark, is the median.",
)

# %% [markdown]
# ## As attention gets sparser
#
# The paper's Table 2 correlates λ with dispersion. It does not name the coefficient, nor the number
# of points. The chart below has Pearson's within seeds, with an interval; beside it, the
# correlation with the sparsity that is realised, one minus the effective share of attention. This
# is by the paper's gradient; claim 3 is judged by leave-one-out, along the rank of λ, and the
# folded table at the top of this page has what becomes of it by the gradient. Both correlations are
# within seeds, and their intervals over seeds.

# %% tags=["hide-input"]
correlations = effects.correlations(frame)
pearson = correlations[correlations["method"] == "pearson"]
charts.show(
    charts.paper_versus_here,
    pearson,
    effects.reported(paper.table2(), frame, axis="with λ"),
    group="origin",
    colour="classifier",
    panel="axis",
    title="Correlation with dispersion",
    domain=(-1, 1),
    name="correlation",
    caption=f"{effects.sides(pearson.dropna(subset=['low']), 'correlations with an interval')} "
    "Pearson's correlation of sparsity with the dispersion of gradient importance, with "
    "95 % intervals over seeds; of one seed there is none. Below zero, importance narrows as "
    "attention gets sparser.",
)

# %% tags=["hide-input"]
charts.table(
    correlations,
    "Correlation of sparsity with the dispersion of gradient importance, within seeds.",
    columns="origin classifier axis method mean low high points seeds",
    titles={"axis": "correlation", "method": "coefficient", "points": "runs"},
    fold="With λ and with its rank, number by number",
)

# %% [markdown]
# λ is a temperature: $\text{sparsegen}(a; \lambda)$ is sparsemax of the scores $a/(1 - \lambda)$,
# so a network that scales its scores undoes it. What it makes of a λ has to be looked at: the
# **effective share** of the tokens, $e^H/n$ with $H$ the entropy of the attention weights.

# %% tags=["hide-input"]
realised = effects.levels(graded, effects.OVER, ["share_attention"])
Markdown(answers.narrowed(realised))

# %% tags=["hide-input"]
charts.show(
    charts.over_lambda,
    realised,
    colour="classifier",
    panel="origin",
    title="Effective share of attention",
    domain=(0, 1),
    name="realised",
    fold="How sparse attention in fact is at each λ",
    caption=f"{effects.rises(realised, effects.WHERE)} "
    "How sparse attention in fact is at each λ: the effective share of the tokens, with "
    "95 % intervals over documents and seeds, cut at the ends of the axis.",
)

# %% [markdown]
# ## What would change our mind
#
# **Is the gradient's length importance?** In planted texts, with a BiLSTM under softmax, it hardly
# tells the words that decide from the rest ({ref}`where the truth is known <agreement-truth>`).
# What the charts by gradient say stands under that doubt; the verdicts rest on leave-one-out.
#
# **Within a document.** Dispersion does not say *which* tokens are important. Importance may be
# spread and yet lie on the tokens that have attention. Under sparse projections these can be told
# apart: by chance their share of the importance is their share of the tokens.

# %% tags=["hide-input"]
within = dict.fromkeys(("mass_inputs_gradient", "mass_inputs_loo"), "support_share")
attended = effects.levels(sparse, effects.WHERE, within)
charts.show(
    charts.paper_versus_here,
    attended,
    group="origin",
    colour="classifier",
    panel="kind",
    title="Share of importance on tokens with attention",
    null="null",
    domain=(0, 1),
    name="attended-mass",
    fold="Importance on the tokens that have attention",
    caption=f"{effects.reach(attended, 'kind', '.0%')} By chance "
    f"{span(attended['null'], '.0%')}. How much of the importance of the inputs lies on tokens "
    "whose attention is not zero, under sparse projections, with 95 % intervals (cut at the ends "
    "of the axis); by chance, those tokens' share of all tokens.",
    missing="This needs a sparse projection.",
)

# %% tags=["hide-input"]
saturated = {
    "tau_between_inputs_loo_loo_logit": "τ-b, probability and logit",
    "dispersion_inputs_loo": "dispersion, probability",
    "dispersion_inputs_loo_logit": "dispersion, logit",
    "size": "mean size of the logit",
}
charts.table(
    effects.means(cells, effects.CELL, saturated),
    "Leave-one-out of the probability and of the logit: how alike they rank the tokens, how widely "
    "they spread, and how confident the classifiers are. Means over documents and seeds.",
    columns=f"origin classifier sparsity {' '.join(saturated)}",
    titles=saturated,
    fold="Does saturation matter?",
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
shares = frame[["attention_dispersion", *ways, *within]]
print("dispersion and mass are shares:", not shares.max().max() > 1 + 1e-4)
print("attention is no more even than even:", not frame["share_attention"].max() > 1 + 1e-4)

# %% tags=["remove-input"]
provenance.Provenance(p, [*published.runs(p.tasks), *runs])
