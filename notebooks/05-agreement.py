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
# # Does attention agree with importance?
#
# **Do the tokens that attention weights most also matter most to the output, and does sparsity
# help?**
#
# If attention explains a decision, its order of the tokens should resemble their order by
# importance. The paper measures that resemblance, over the *inputs* and over the *hidden states*
# that attention in fact weighs.

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

p = parameters.check(globals(), "05-agreement")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.results import paper, published, side_by_side, variants
from sparseattn.verdicts import agreement, answers, claims, effects, truth

runs = p.runs()
frame = effects.derived(side_by_side.together(runs, p.tasks))
cells = side_by_side.without_lambda(frame)
sparse = cells[cells["projection"] != "softmax"]
graded = frame[frame["lam"].notna()]
measured = variants.summaries().query("task in @p.tasks")

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
found = truth.evidence_auc(runs)
judged = claims.cells(frame, numbers=[4, 5])
Markdown(f"{answers.opening(judged, [4, 5], frame)}\n\n{truth.of_importances(found)}")

# %% [markdown]
# Where a weight is exactly zero, the importance of its state is zero *by construction*; so claim 4
# is judged under softmax, and sparsemax stands beside it.

# %% tags=["hide-input"]
Markdown(answers.under_sparsemax(frame, 4))

# %% tags=["hide-input"]
answers.figure(judged)

# %% [markdown]
# Ties cut both ways. Kendall's $\tau_b$ counts what sparse attention leaves tied as no agreement.
# Over its ceiling it looks only at the tokens that sparse attention tells apart, which are the
# easier ones: cutting small weights off raises it, though nothing else changes. So $\tau_b$
# decides, and the two others, one of them at an equal number of tokens, say how far ties matter.

# %% tags=["hide-input"]
charts.table(
    answers.by_yardstick(frame, [4, 5]),
    "The same claims by each measure of importance, and of agreement, there is; the first decides.",
    columns="number by verdict counts value low high",
    fold="The same by each measure",
    titles={"value": "effect"},
)

# %% [markdown]
# ## What the paper says, and how it is measured
#
# For a document of $n$ tokens with embeddings $X_1, \dots, X_n$ and hidden states
# $h_1, \dots, h_n$, let $f$ be the logit and $\hat y = \sigma(f)$ the probability of the positive
# class. Two measures of what the output owes token $i$, each summing to one over the document:
#
# $$
# \begin{aligned}
# g_{\hat y}(x_i) &= \frac{\|\partial f/\partial X_i\|_2}{\sum_k \|\partial f/\partial X_k\|_2}, \\
# D_{\hat y}(x_i) &= \frac{|\hat y - \hat y_{-i}|}{\sum_k |\hat y - \hat y_{-k}|},
# \end{aligned}
# $$
#
# the **gradient** importance, and **leave-one-out** (LOO): $\hat y_{-i}$ is the probability when
# token $i$ is deleted. The same with $h_i$ in place of $X_i$ gives the importance of hidden states.
# Agreement is Kendall's $\tau_b$ {cite:p}`kendall1945treatment` between attention and importance
# over a document's tokens: 1 when they order them alike, 0 when unrelated.
#
# - **Claim 4**: attention agrees more with hidden states than with inputs, in all models
#   (the paper's Table 6, Figures 1 and 4).
# - **Claim 5**: agreement with inputs falls as attention gets sparser (its Figure 3).
#
# The paper's numbers beside ours, one by one: <a href="07-paper.html#item=Table+6">its Table 6</a>
# and <a href="07-paper.html#item=Figure+3">its Figure 3</a>. Tasks without a mark are published
# with this book; *live* is what this page computes itself.

# %% [markdown]
# ## Inputs and hidden states
#
# By each of the four importances:

# %% tags=["hide-input"]
taus = effects.levels(cells, effects.CELL, agreement.TAUS)
theirs = effects.reported(paper.table6(), frame)
shown = agreement.of_the_papers_classifiers(taus, theirs)
charts.show(
    charts.paper_versus_here,
    shown,
    theirs,
    group="importance",
    panel=effects.WHERE,
    domain=(-1, 1),
    name="agreement",
    fold="The classifiers of the paper's Table 6, importance by importance",
    caption=f"{effects.reach(shown, 'importance')} "
    "Agreement (Kendall's τ-b) of attention with four measures of importance (the paper's "
    "Table 6), with 95 % intervals over documents and seeds.",
)

# %% tags=["hide-input"]
charts.table(
    taus,
    "Agreement of attention with importance. The spreads over documents and over seeds are shown "
    "apart.",
    columns="origin classifier sparsity importance mean low high sd_documents sd_seeds seeds "
    "undefined",
    titles={"mean": "τ-b", "importance": "importance of, by"},
    fold="All classifiers, number by number",
)

# %% [markdown]
# ## As attention gets sparser
#
# λ is a temperature that the network can undo by scaling its scores. So agreement is drawn against
# the sparsity that is *realised*: the effective share of the tokens, $e^H/n$ with $H$ the entropy
# of the attention weights.

# %% tags=["hide-input"]
realised = effects.against_realised(frame, agreement.TAUS[:2], "tau")
charts.show(
    charts.against,
    realised,
    x="share_attention",
    y="tau",
    titles=("Effective share of attention (← sparser)", "Kendall's τ-b"),
    panel=["origin", "measure"],
    name="against-realised",
    caption=f"{effects.reach(realised, 'kind', value='tau')} "
    "Agreement of attention with the importance of inputs against realised sparsity; a "
    "point is a classifier under one projection, mean over documents and seeds.",
)

# %% [markdown]
# ## What would change our mind
#
# **Ties.** With $s$ non-zero weights of $n$, the $n - s$ zeros are tied, and no ordering of an
# untied importance can reach $\tau_b = 1$: the most is
#
# $$
# \begin{gathered}
# \tau_b^{\max} = \sqrt{P/N}, \\
# P = s(n - s) + \tfrac{s(s-1)}{2}, \quad N = \tfrac{n(n-1)}{2}.
# \end{gathered}
# $$
#
# A fall of $\tau_b$ with λ may be nothing but that. So we divide by the ceiling, and put beside it
# measures without one: the probability (**AUC**) that a token with attention is more important than
# one without; and **precision**, the share of the most attended tenth of the tokens that is among
# the most important tenth. They have limits of their own. The AUC is undefined where every token
# has attention; where fewer than a tenth have it, precision fills up with tied tokens at random.

# %% tags=["hide-input"]
checks = agreement.with_ceiling(graded)
charts.show(
    charts.over_lambda,
    checks,
    low=None,
    high=None,
    colour="shown",
    panel="classifier",
    title="Agreement with input gradients",
    name="ties",
    fold="With and without the effect of ties",
    caption=f"{next(iter(checks['origin']), '')}: the same agreement with and without the effect "
    "of ties, means over documents and seeds. The AUC is undefined where every token has "
    "attention.",
)

# %% [markdown]
# The AUC's trend over λ is no trend of the same documents:

# %% tags=["hide-input"]
Markdown(agreement.without_auc(graded))

# %% [markdown]
# **Better than chance?** The same measures under sparse projections, beside what unrelated rankings
# would give. Here *mass* is the share of the importance that lies on tokens with attention; by
# chance it is their share of the tokens.

# %% tags=["hide-input"]
free = agreement.free_of_ties(sparse)
charts.show(
    charts.paper_versus_here,
    free,
    group="origin",
    colour="classifier",
    panel=["shown", "measure"],
    title="Agreement with the importance of inputs",
    null="null",
    domain=(0, 1),
    name="tie-free",
    fold="Measures without a ceiling, beside chance",
    caption=f"{effects.reach(free, 'shown')} "
    "Agreement of sparse attention with the importance of inputs by three measures that "
    "have no ceiling under ties, with 95 % intervals over documents and seeds, and what chance "
    "would give.",
    missing="This needs a sparse projection.",
)

# %% [markdown]
# And for $\tau_b$ itself: of unrelated rankings it is 0 in the mean, with a spread that depends on
# the length of the text and on the ties. In how many documents does it lie further out than all but
# one in twenty of these?

# %% tags=["hide-input"]
sides = ["above_gradient", "below_gradient", "above_loo", "below_loo", "out_of_reach"]
charts.table(
    agreement.beyond_noise(cells),
    "Share of documents in which attention agrees (above) or disagrees (below) with the importance "
    "of inputs more than noise would, at the two-sided level of 5 %; mean over seeds. Left out: "
    "documents whose largest possible τ-b, by length and support, does not reach that far.",
    columns=f"origin classifier sparsity {' '.join(sides)}",
    formats=dict.fromkeys(sides, ".0%"),
    fold="Documents beyond noise",
)

# %% [markdown]
# **Hidden states off the support.** Where a weight is exactly zero, and stays so under a small
# change, the state has no gradient and deleting it changes nothing; its importance is zero *by
# construction*. High agreement with hidden states under sparse attention is therefore partly
# mechanical. In the same vein, holding the attention weights constant makes the gradient of a
# hidden state exactly proportional to its weight, and $\tau_b = 1$ whatever was learned: gradients
# here flow through the weights unless we say otherwise.
#
# **Importance measures disagree among themselves.** So attention cannot agree fully with both. Its
# agreements with the gradient ($\tau_{AG}$) and with leave-one-out ($\tau_{AL}$) are bound by that
# of the two ($\tau_{GL}$): $\tau_{AG} + \tau_{AL} \le 1 + \tau_{GL}$ without ties
# ({ref}`measures-ceiling`). Both may lie above $\tau_{GL}$:

# %% tags=["hide-input"]
among = agreement.among_importances(cells)
charts.show(
    charts.paper_versus_here,
    among,
    group="origin",
    colour="shown",
    panel="classifier",
    title="Kendall's τ-b",
    domain=(-1, 1),
    name="ceilings",
    fold="Attention and two importances, each with each",
    caption=f"{effects.reach(among, 'shown')} "
    "Agreement of attention with the gradient and the leave-one-out (LOO) importance of "
    "inputs, and of these two with each other, over projections, with 95 % intervals.",
)

# %% [markdown]
# **The learning rate.** The paper trains at lower rates than this report, whose rates were chosen
# on held-out documents ({doc}`10-deviations`). So the same classifiers were trained at both:

# %% tags=["hide-input"]
changed = agreement.changed_by_rates(measured)
Markdown(agreement.moved_by_rates(changed))

# %% tags=["hide-input"]
charts.show(
    charts.paper_versus_here,
    *agreement.at_both_rates(measured),
    group="rate",
    colour="encoder",
    panel=["shown", "task"],
    domain=(-1, 1),
    name="rates",
    fold="Agreement at both learning rates",
    caption="Agreement under softmax, trained at this report's learning rates and at the paper's, "
    "means over seeds with 95 % intervals (Student's), beside the paper's own numbers.",
    missing="Not measured on these tasks.",
)

# %% tags=["hide-input"]
charts.table(
    changed,
    "What the paper's learning rates change, paired by seed, with 95 % intervals over seeds.",
    columns="task encoder shown ours variant_value difference low high seeds",
    titles={"variant_value": "at the paper's rates"},
    fold="What the paper's rates change, number by number",
    missing="",
)

# %% [markdown]
# (agreement-truth)=
# **Truth, where it is known.** On planted documents the decisive tokens are known, and each
# ranking can be held against them: the share of its mass on those tokens; and the AUC, the
# probability that it puts a decisive token above another one, ½ by chance.

# %% tags=["hide-input"]
decisive = agreement.on_the_decisive(cells)
charts.show(
    charts.paper_versus_here,
    decisive,
    group="shown",
    panel="classifier",
    title="Share on the decisive tokens",
    null="null",
    domain=(0, 1),
    name="evidence",
    fold="The share of each on the decisive tokens",
    caption=f"{effects.reach(decisive, 'shown', '.0%')} "
    "How much of each measure falls on the tokens that truly decide; by chance, their "
    "share of the tokens.",
    missing="Not known for these tasks.",
)

# %% tags=["hide-input"]
charts.table(
    truth.by_classifier(found),
    "AUC of the decisive tokens by each ranking, means over documents and seeds; chance is 0.50. "
    "Where the gradient's length is near chance, agreement with it says nothing of truth.",
    columns="classifier sparsity attention gradient product loo",
    missing="",
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
fixed = frame["tau_hidden_gradient_fixed"]
over = frame[[name.replace("tau", "tau_relative") for name in agreement.TAUS]].max().max()
print("τ-b is 1 by construction with attention fixed:", not fixed.min() <= 0.99)
print("no τ-b above the ceiling that the ties of both rankings leave:", not over > 1 + 1e-4)

# %% tags=["remove-input"]
provenance.Provenance(p, [*published.runs(p.tasks), *runs])
