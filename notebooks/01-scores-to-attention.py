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
# # From scores to attention
#
# **How does a row of scores become a row of attention weights, and what makes the weights sparse?**
#
# A classifier with attention gives each hidden state $h_i$ of a text a score $a_i$, any real
# number. A *projection* $\varphi$ turns the scores $a = (a_1, \dots, a_n)$ into weights
# $\alpha = \varphi(a)$ that are non-negative and sum to one: a point of the simplex $\Delta$. The
# decision is then taken from the weighted mean $\sum_i \alpha_i h_i$. All this report asks about
# sparse attention is about the choice of $\varphi$.

# %% tags=["parameters", "hide-input"]
scores = [2.0, 1.6, 0.9, 0.3, -0.4, -1.2]
shown_lams = [-50.0, -10.0, -3.0, 0.0, 0.3, 0.6, 0.9]
shown_alphas = [1.0, 1.25, 1.5, 2.0]

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "01-scores-to-attention")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.models import projections

identity = projections.both_ways(p.scores, p.shown_lams)
agree = bool((identity["difference"] < 1e-5).all())

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
Markdown(
    "Softmax gives every score a weight above zero; sparsegen and α-entmax give the small scores "
    "none, the more so the larger λ or α is. "
    f"Sparsegen and sparsemax at temperature 1 − λ {'agree' if agree else '**disagree**'} on these "
    f"scores to {identity['difference'].max():.0e} for all {len(identity)} values of λ; the number "
    f"of non-zero weights falls from {identity['nonzero'].max()} to {identity['nonzero'].min()} of "
    f"{len(p.scores)}. What a λ makes of a trained "
    'classifier is shown on <a href="04-dispersion.html">another page</a>.'
)

# %% [markdown]
# ## Three families
#
# Each projection stays close to the scores while it keeps the weights from piling up on one place:
#
# $$
# \begin{aligned}
# \mathrm{softmax}(a) &= \arg\min_{p \in \Delta}\; -p^\top a + \textstyle\sum_i p_i \log p_i \\
# \mathrm{sparsegen}(a; \lambda) &= \arg\min_{p \in \Delta}\; \|p - a\|_2^2 - \lambda \|p\|_2^2 \\
# \alpha\text{-entmax}(a) &= \arg\min_{p \in \Delta}\; -p^\top a
#   + \tfrac{1}{\alpha(\alpha - 1)} \textstyle\sum_i (p_i^{\alpha} - p_i)
# \end{aligned}
# $$
#
# with $\lambda < 1$ and $\alpha > 1$. Softmax {cite:p}`vaswani2017attention` can never give a
# weight of exactly zero: the slope of $p \log p$ is infinite there. The quadratic penalties can.
# *Sparsemax* {cite:p}`martins2016softmax` is sparsegen {cite:p}`laha2018controllable` at
# $\lambda = 0$, and $\alpha$-entmax {cite:p}`peters2019sparse` at $\alpha = 2$;
# $\alpha \to 1$ gives softmax. Larger $\lambda$, like larger $\alpha$, is sparser.
#
# Move the sliders and watch the weights leave the small scores one by one. Watch, too, how well the
# weights still order the items as the scores do: Kendall's $\tau_b$ {cite:p}`kendall1945treatment`
# is one for the same order. No projection ever reverses two scores, and yet $\tau_b$ falls, for
# items whose weights are zero are tied. It is then at its largest, the *ceiling* that ties leave
# ({doc}`../measures`); {doc}`05-agreement` meets it again.

# %% tags=["hide-input"]
steps = {"lams": [place / 10 for place in range(-100, 10)]}
steps["alphas"] = [place / 20 for place in range(20, 51)]
charts.show(
    charts.projections,
    projections.solved(p.scores, **steps),
    name="projections",
    caption="One vector of scores under three projections, and Kendall's τ-b between weights and "
    "scores. Softmax never reaches zero; sparsegen and α-entmax do, at a λ or α that depends on "
    "the scores.",
    description="Bars of the weights that softmax, sparsegen and alpha-entmax give to the same "
    "scores, with sliders for lambda and alpha. As lambda or alpha grows, weight moves to the "
    "largest scores, the smaller ones become exactly zero, and tau-b falls from one.",
)

# %% [markdown]
# ## Sparsegen is sparsemax at a temperature
#
# Write the objective of sparsegen out, drop what does not depend on $p$, and complete the square:
#
# $$
# \begin{aligned}
# \|p - a\|^2 - \lambda\|p\|^2
#   &= (1 - \lambda)\,\Big\|p - \frac{a}{1 - \lambda}\Big\|^2 + \text{const} \\
# \Longrightarrow\quad
# \mathrm{sparsegen}(a; \lambda) &= \mathrm{sparsemax}\Big(\frac{a}{1 - \lambda}\Big).
# \end{aligned}
# $$
#
# So $\lambda$ is a temperature $1 - \lambda$ and nothing else. The table solves both sides: the
# left one as stated, by a general-purpose optimiser that knows nothing of sparsemax, the right one
# by the code our classifiers run.

# %% tags=["hide-input"]
charts.table(
    identity,
    "Sparsegen over λ, solved as defined and as sparsemax of the scaled scores.",
    columns="lam temperature nonzero largest difference",
    titles={"difference": "largest difference of the two solutions"},
    formats={"temperature": "g", "difference": ".0e"},
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
print("non-zero weights over λ:", identity["nonzero"].tolist())
print("both solutions agree to 1e-5:", agree)

# %% [markdown]
# ## What would change our mind
#
# A temperature can be undone. If training multiplies all scores by $c$, the weights are those of
# $1 - \lambda' = (1 - \lambda)/c$: a classifier asked to be sparse can shrink its scores, one asked
# to be even can stretch them. Whether it does is an empirical matter, so a statement about sparsity
# needs the *realised* one: how many weights are zero in the trained classifier, not which λ it was
# given. The number of non-zero weights below depends on λ and on the scale of the scores alike.

# %% tags=["hide-input"]
charts.show(
    charts.over_lambda,
    projections.scaled(p.scores, p.shown_lams, [0.25, 1.0, 2.0, 4.0]),
    value="nonzero",
    low=None,
    high=None,
    colour="scale",
    title="Non-zero weights",
    name="support-over-lambda",
    caption="Non-zero weights over λ when the same scores are shrunk or stretched: scaling the "
    "scores does what λ does.",
)

# %% [markdown]
# α-entmax, too, gives fewer non-zero weights as α grows:

# %% tags=["hide-input"]
charts.table(
    projections.solved(p.scores, alphas=p.shown_alphas)
    .query("projection == 'entmax' and index == 0")
    .rename(columns={"parameter": "alpha"}),
    "α-entmax over α, for the same scores.",
    columns="alpha nonzero largest",
)

# %% tags=["remove-input"]
provenance.Provenance(p)
