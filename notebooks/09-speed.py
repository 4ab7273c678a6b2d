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
# # How fast is it, and why?
#
# **How long do importance, influence and training take here, against what one would use instead
# and against what the machine allows?**
#
# Nothing on this page bears on the paper's claims. It says what they cost to check: whether the
# whole grid of classifiers can be repeated overnight on a laptop, and by which shortcuts, all of
# them exact.

# %% tags=["parameters", "hide-input"]
tasks = ["sst", "newsgroups", "imdb"]

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "09-speed")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.bench import comparisons, goals
from sparseattn.results import published

reports = goals.reports()
compared = goals.against_goals(reports)
timed = goals.timed_runs(store=False)
cells = goals.grid_cells(timed)
runs = goals.run_goals(timed[timed["task"].isin(p.tasks)])
examined = goals.examinations(p.tasks)

# %% [markdown]
# ## The answer

# %% tags=["remove-input"]
Markdown("\n".join(f"- {said}" for said in goals.verdict(compared, runs, cells, examined)))

# %% [markdown]
# ## What is compared
#
# A *peer* is what one would write, or use, instead: a forward pass for each deleted token, a
# backward pass for each hidden state, the same in batches, captum, scipy, `nn.LSTM`. Both get the
# same weights and documents, must first give the same numbers where they compute the same quantity,
# and are then timed in turns in one process. Their ratio is
#
# $$
# r = \frac{\operatorname{median}\, t_{\text{peer}}}{\operatorname{median}\, t_{\text{ours}}},
# $$
#
# and it is what counts: a busy or slower machine changes both times, and $r$ little. The weights
# are random, the sizes the paper's: hidden states of $H = 128$ units a direction, embeddings of
# $E = 300$, documents of $n = 180$ tokens, about IMDb's mean. The *floor* is the time of as many
# floating-point operations in one large matrix product, the best this processor does.

# %% [markdown]
# ## Times faster

# %% tags=["hide-input"]
Markdown(goals.measured_with(reports))

# %% tags=["hide-input"]
asked = compared["goal"].notna()
charts.show(
    charts.times_faster,
    compared,
    group="peer",
    colour="setting",
    name="times-faster",
    caption=f"{compared['met'][asked].sum()} of {asked.sum()} goals are met, and ours is faster in "
    f"{(compared['ratio'] > 1).sum()} of {len(compared)} comparisons. "
    "How many times faster than each peer, beside the goal set beforehand, if any: "
    "leave-one-out (LOO), influence and other measures on a document, a BiLSTM's unless named, τ-b "
    "of many documents, and an epoch of training.",
)

# %% tags=["hide-input"]
charts.table(
    compared.dropna(subset="goal"),
    "The goals, set before anything was measured.",
    columns="peer setting goal ratio met",
    titles={"peer": "ours against"},
    formats={"ratio": ".1f", "goal": ".0f"},
    fold="The goals",
)

# %% tags=["hide-input"]
charts.table(
    goals.comparisons(reports),
    "Every comparison. Difference of the results: relative to the largest value; none where the "
    "peer computes another quantity.",
    columns="threads pair ratio ours peer difference",
    titles={"pair": "what, against what", "ours": "ours (s)", "peer": "peer (s)"},
    formats={"ours": ".3f", "peer": ".3f", "ratio": ".1f", "difference": ".0e"},
    fold="Every comparison, number by number",
)

# %% [markdown]
# ## Distance to the floor
#
# Only the operations inside matrix products are counted: with $T = n(n+1)$ pairs of a variant and a
# position, both directions together, $10\,T H^2$ for leave-one-out (a step $8H^2$, half of a score
# $2H^2$) and $4\,T H(H + E)$ for influence. What is left is gates, tanh, sums and memory.

# %% tags=["hide-input"]
charts.table(
    goals.floors(reports),
    "A BiLSTM's work on one document, and as many operations in square matrix products: by "
    "oneDNN, which we use, and by torch's own (MKL).",
    columns="threads what gigaflop seconds floor_onednn distance distance_torch",
    formats={"seconds": ".4f"},
)

# %% [markdown]
# ## Why
#
# ### Leave-one-out of inputs
#
# Delete token $i$ of $n$ and the forward LSTM's states before $i$ stay as they were, and so do the
# backward LSTM's after $i$. Only half of all states is new, and of these the input's part of the
# gates, $W_{ih} X_t + b$, is known:
#
# $$
# \begin{aligned}
# s^{(i)}_t &= \underbrace{W_{ih} X_t + b}_{\text{once a document}}
#   + \underbrace{W_{hh}\, h^{(i)}_{t-1}}_{\text{only } t > i}, \\
# a^{(i)}_t &= v^\top \tanh\big(W_\rightarrow \overrightarrow{h}_t
#   + W_\leftarrow \overleftarrow{h}_t + b_a\big),
# \end{aligned}
# $$
#
# with $s$ the gates' sums, $a$ a token's score, and in each score one half known as well. A loop
# takes $2n(n+1)$ steps of $8H(E+H)$ operations, this $n(n+1)$ of $8H^2$. All variants $i < t$ take
# step $t$ together, in blocks of a few positions for one call of the fused kernel: those that lack
# a position of the block set out where all are still alike, and skip their own. The kernel's copy
# of $W_{hh}$, in the order it wants, is made once. Where torch has two threads, the two directions
# run side by side, for a step is too small to be cut in two.
#
# A Transformer's later positions all shift when a token goes. But its first layer reads each token
# at two positions at most: its own, as $u_k$, and the one before, as $s_k$. Scores, their
# exponentials and values are computed once for these, and variant $i$ adds up
#
# $$
# \text{attention}^{(i)}(q) = \frac{\sum_{k<i} e^{q \cdot u_k} v(u_k)
#   + \sum_{k>i} e^{q \cdot s_k} v(s_k)}{\sum_{k<i} e^{q \cdot u_k}
#   + \sum_{k>i} e^{q \cdot s_k}}:
# $$
#
# a sum over a prefix and one over a suffix, which neighbouring variants share but for a few terms.
# From there on each variant runs. With one head a layer needs two products where it was trained
# with four: $q \cdot k = x\, W_q^\top W_k\, y$ but for what cancels in the softmax, and
# $W_o \sum_k \alpha_k W_v y_k = \sum_k \alpha_k (W_o W_v) y_k$. On long documents each one's
# attention is a product of its own, through a faster library than torch's batched one.
#
# ### Leave-one-out of hidden states
#
# The encoder does not run at all. Scores $a$ and values $w^\top h_t$ are known; only the projection
# $\varphi$ is solved again, over all but one: $f_{-i} = \sum_{t \ne i} \varphi(a_{-i})_t\,
# w^\top h_t + b$, all $i$ of many documents as one batch.
#
# ### Sets of words removed
#
# Faithfulness and Shapley values ask for the logits of many subsets of one text, thousands where
# the limits of faithfulness are searched for. Each distinct text is computed once, and those of one
# length together, without padding. A BiLSTM's texts are made of few words: what each adds to the
# gates, $W_{ih} x + b$, is computed once, and the fused kernel is given it in place of the weights.
#
# ### Influence
#
# The influence of $X_i$ on the state $h_p$ is $\|\partial \|h_p\| / \partial X_i\|$, for all $p$
# and $i$. Automatic differentiation goes back once for each $p$. But the way back through step $t$
# is the same linear map for every $p \ge t$. With one row for each $p$, $A$ the adjoints of $h_t$
# and $C$ those of the cell $c_t$,
#
# $$
# \begin{aligned}
# \bar c &= C + A \odot o(1 - \tanh^2 c_t), \\
# \bar o &= A \odot \tanh(c_t)\, o(1 - o), \\
# [A', \bar X_t] &= [\bar c, \bar o]
# \begin{bmatrix} i'W_i + f'W_f + g'W_g \\ W_o \end{bmatrix}, \\
# C' &= \bar c \odot f,
# \end{aligned}
# $$
#
# where $W$ holds recurrent and input weights side by side and $i', f', g'$ are the slopes of $c_t$
# in the gates' sums. All $p$ share each step, as one product; and since three gates share
# $\bar c$, their weights are added first, which halves it. Only the *length* of $\bar X_t$
# is wanted, so where the embedding is wider than the gates, $W^\top = QR$ and
# $\|aW\| = \|aR^\top\|$.
#
# The Frobenius norm of the whole Jacobian $\partial h_p/\partial X_i$ (the paper's Appendix A) is
# the same recurrence with one row for each unit of $h_p$ in place of one for each $p$. In a
# Transformer the last layer's adjoints have one row of attention each, and the first layer is
# matrix products.
#
# ### Kendall's τ-b
#
# Discordant pairs are inversions: with the tokens in the order of $x$, they are the falling pairs
# of $y$. A merge sort counts them level by level; here each level is *one* sort of small integers
# over all documents at once, $\lceil \log_2 n \rceil$ levels, $O(n \log^2 n)$ a document, in
# integers and therefore exact.
#
# ### Training
#
# Documents are shuffled, sorted by length within pools of many batches, cut, and the batches
# shuffled. The backward LSTM reads each document reversed, so that padding needs no packing. The
# embedding is most of the parameters, and a batch touches few of its rows: Adam's moments $m, v$
# and count $k$ of steps advance for those alone,
#
# $$
# \begin{aligned}
# m &\leftarrow \beta_1 m + (1 - \beta_1) g, \\
# v &\leftarrow \beta_2 v + (1 - \beta_2) g^2, \\
# \hat v &\leftarrow \max(\hat v, v), \\
# w &\leftarrow w - \eta\,
#   \frac{m / (1 - \beta_1^k)}{\sqrt{\hat v / (1 - \beta_2^k)} + \epsilon},
# \end{aligned}
# $$
#
# with $g$ a row's gradient, $w$ the row, $\eta$ the learning rate, and $\beta_1, \beta_2, \epsilon$
# Adam's constants.

# %% tags=["hide-input"]
Markdown(goals.padding_in_words(published.runs(p.tasks)))

# %% [markdown]
# ### Processes and threads
#
# A sweep runs one process for each core with one thread each. Two threads inside a run gain less
# than a second run does, for many steps are too small to be divided; and two processes of two
# threads each, on two cores, spend their time waiting for one another at the end of each step. With
# one thread the same run also gives the same bits.
#
# ### Memory
#
# Documents are taken one at a time, or in chunks cut to a bound, longest first; so memory does not
# grow with their number. For one document the tables of all pairs, $n \times n$ scores, values and
# influences, grow with $n^2$, four bytes each; all states of a block of positions, and the adjoints
# of all $p$ at one step, with $nH$.

# %% tags=["hide-input"]
charts.table(
    goals.rows(reports, "memory"),
    "The most that was held at once beside the classifier, one document.",
    columns="threads what encoder tokens megabytes",
)

# %% [markdown]
# ## Growth
#
# On two logarithmic axes $t \propto n^k$ is a line of slope $k$.

# %% tags=["hide-input"]
charts.show(
    charts.over_size,
    goals.along(reports, "tokens"),
    size="tokens",
    title="Tokens of one document",
    panel="panel",
    name="time-against-tokens",
    caption="Time against tokens of one document, ours and the peers', on logarithmic axes; torch "
    f"threads: {reports[0]['machine']['threads']}.",
)

# %% tags=["hide-input"]
charts.show(
    charts.over_size,
    goals.along(reports, "documents"),
    size="documents",
    title="Documents of 50 tokens",
    panel="panel",
    name="time-against-documents",
    caption="Time against documents of 50 tokens, ours and the peers', on logarithmic axes; torch "
    f"threads: {reports[0]['machine']['threads']}.",
)

# %% tags=["hide-input"]
charts.table(
    goals.exponents(reports),
    "The exponent k, fitted by least squares to the logarithms, from 50 tokens on.",
    columns="what encoder by tokens documents",
    titles={"by": "way", "tokens": "k, tokens", "documents": "k, documents"},
)

# %% [markdown]
# All ways run $n$ variants, or $n$ backward passes, over $n$ positions: as $n$ grows, $k$ tends to
# 2 for a BiLSTM's exact values, and to 3 for a Transformer's, whose attention compares all pairs of
# positions in every variant. Ours saves a factor, and none of it is an approximation. A fitted $k$
# lies below that as long as calls cost more than arithmetic, and larger matrices are multiplied at
# a better rate. In the number of documents growth is linear.
#
# ## Runs, and the whole grid
#
# A run is a classifier trained, evaluated on whole splits, and observed on documents of the test
# split: attention, gradients, leave-one-out, influence. Seconds are the processor's; only where no
# run recorded these are they the wall clock's, taken while other runs were computed beside it.

# %% tags=["hide-input"]
charts.table(
    runs,
    f"Median seconds of a run on one core, {goals.OBSERVED} documents observed, and how its "
    "wall time divides.",
    missing="No run of these tasks is published yet.",
    columns="task encoder runs train importance influence seconds goal met",
    titles={"train": "training"},
    formats=dict.fromkeys(("train", "importance", "influence"), ".0%")
    | dict.fromkeys(("seconds", "goal"), ".0f"),
)

# %% tags=["hide-input"]
Markdown(
    "The paper's complete grid has 3 tasks × 2 encoders × 2 alignments × 9 projections, one seed "
    f"each, {goals.OBSERVED} observed documents a run. {goals.grid_in_words(cells)}"
)

# %% [markdown]
# An *examination* puts a run's classifier to the tests of {doc}`05-truth`. It was to take no longer
# than the run itself. What takes its time are passes through the classifier with words removed: a
# longer text needs more of them, and each takes longer.

# %% tags=["hide-input"]
charts.table(
    examined,
    "Median seconds of an examination, how its wall time divides, and the median ratio of its "
    "seconds to those of the run that it examines.",
    missing="No examination of these tasks is published yet.",
    columns="task encoder examinations explain faithfulness flow simulate people seconds ratio met",
    titles={"explain": "importances", "simulate": "students", "ratio": "median ratio"},
    formats=dict.fromkeys(("explain", "faithfulness", "flow", "simulate", "people"), ".0%")
    | {"seconds": ".0f", "ratio": ".2f"},
)

# %% [markdown]
# ## What would change our mind
#
# - **Another processor.** The ratios rest on how fast it multiplies large matrices against many
#   small ones. `make bench` measures them anew, on yours.
# - **A better peer.** Batched peers run at the fastest of several batch sizes, found on the spot.
#   captum's ablation replaces an embedding by zeros where we delete the token: another quantity, at
#   about the same cost, shown for those who would reach for it.
# - **Random weights.** Times do not depend on them, but for a sparse projection's sorting.
# - **The floor is not tight.** It leaves out everything but matrix products, and a recurrence must
#   make its products one after another, each far from the best size.
# - **A busy machine.** Other work in a burst hits both, for they are timed in turns, and medians
#   are taken; the seconds themselves are as they were.

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
print("the fast and the plain ways agree on this machine:", comparisons.check_peers() < 1e-5)

# %% tags=["remove-input"]
provenance.Provenance(p)
