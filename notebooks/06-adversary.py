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
# # Can attention be made to say anything?
#
# **If quite another attention gives the same predictions, how can attention explain them?**
#
# {cite:t}`wiegreffe2019attention` train an *adversary*: a classifier that decides as a given one
# does, while its attention is as different as it can be. The paper repeats that experiment. What it
# shows depends on what else the adversary may change, and on how far two ordinary trainings of one
# classifier lie apart.

# %% tags=["parameters", "hide-input"]
task = "planted"
task_options = {}
encoders = ["bilstm", "transformer"]
alignments = ["additive"]
projections = ["softmax", "sparsemax"]
lams = []
alphas = []
seeds = [0]
observed = 100
epochs = 5
learning_rate = None
vectors = None
device = "auto"
jobs = None
pressures = [0.1, 10.0]
adversary_epochs = 12
tasks = ["sst", "newsgroups", "imdb"]

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "06-adversary")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.measures.divergence import CEILING
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import published
from sparseattn.verdicts import adversarial, answers, claims, effects

kept = p.adversaries()
frame = adversarial.together(kept, p.tasks)
at_default = frame[frame["pressure"] == PRESSURE]
found = adversarial.levels(at_default)
decisive = claims.deciding(at_default)
told = adversarial.levels(decisive)

# %% [markdown]
# ## The answer

# %% tags=["hide-input"]
judged = claims.cells(frame[:0], frame, numbers=[6])
Markdown(answers.opening(judged, [6], frame.assign(correct=frame["base_correct"])))

# %% tags=["hide-input"]
answers.figure(judged)

# %% [markdown]
# ## What the paper says, and how it is measured
#
# A *base* classifier gives a document the attention $\alpha$ and the probability $\hat y$ of the
# positive class; an adversary gives it $\alpha_a$ and $\hat y_a$. It is trained to lower
#
# $$
# |\hat y_a - \hat y| - \lambda_{adv}\,\mathrm{JSD}(\alpha_a, \alpha),
# $$
#
# where, with $m = (p + q)/2$ the mean of two attentions,
#
# $$
# \mathrm{JSD}(p, q) = \tfrac12 \sum_i p_i \log\frac{p_i}{m_i}
# + \tfrac12 \sum_i q_i \log\frac{q_i}{m_i}.
# $$
#
# The Jensen–Shannon divergence (JSD) is zero where the two attentions are equal, and
# $\ln 2$ where they share no token, so it stays finite when a sparse projection gives exact zeros.
# (Wiegreffe and Pinter train on $\mathrm{KL}(\alpha_a \| \alpha)$, which is infinite there.) The
# pressure $\lambda_{adv}$ says what a nat of divergence is worth in probability. No label is used,
# and the epoch kept is the one with the lowest loss on held-out documents.
#
# - **Frozen**: only the attention's own parameters are trained, afresh; embedding, encoder and
#   decoder stay the base's.
# - **Retrained**: everything is trained afresh, at first for the base's predictions alone
#   {cite:p}`hinton2015distilling`. Cross-entropy stands for their distance in training, whose slope
#   vanishes where a prediction is sure and wrong; the epoch is chosen by the loss above.
#
# An adversary that diverges from the beginning, or that keeps predictions by their distance, may
# never learn them, and looks costly when it was only badly trained. Once it has the base's
# predictions, either adversary's attention alone seeks divergence for a few batches: where it is as
# even as the base's, the divergence is zero and without slope, and nothing else would move it.
#
# **Claim 6**: retrained, attention can be made to diverge at no cost in accuracy; frozen, it cannot
# (the paper's Table 5). For scale, two comparisons that no adversary takes part in: the same
# classifier trained from **another seed**, and the base with **uniform attention**, the same weight
# on every token.
#
# The paper's numbers beside ours, one by one: <a href="07-paper.html#item=Table+5">its Table 5</a>.
# Tasks marked *(live)* are computed when this page is built. The others are published with this
# book.

# %% [markdown]
# ## How far, and at what cost
#
# Look first for how far right the adversaries lie: near $\ln 2$ they attend to quite other tokens
# than the base. Compare them with *another seed* and with *uniform attention*, which nobody trained
# to differ. In the chart that opens below, accuracy is lost left of zero. What is said in sentences
# is of published tasks, where there are any. Those on 20News and IMDb are under softmax alone.

# %% tags=["hide-input"]
far = found.query("quantity == 'jsd'")
charts.show(
    charts.paper_versus_here,
    far,
    adversarial.reported(found, at_default, "jsd"),
    group="adversary",
    panel="where",
    title="JSD, nats",
    domain=(0, 0.7),
    name="divergence",
    caption=f"{effects.reach(far, 'adversary')} "
    "How far attention is from the base's: of a classifier trained from another seed, of "
    "uniform attention, and of the two adversaries. Means over the test split, with 95 % intervals "
    "over documents and seeds (one seed: over documents only). Two seeds make wide intervals; what "
    "reaches beyond the axis is cut there.",
)

# %% tags=["hide-input"]
cost = found.query("quantity == 'accuracy_change'")
charts.show(
    charts.paper_versus_here,
    cost,
    adversarial.reported(found, at_default, "accuracy_change"),
    group="adversary",
    panel="where",
    title="Change of accuracy",
    name="cost",
    fold="What that does to accuracy, adversary by adversary",
    caption=f"{effects.reach(cost, 'adversary', '.3f')} "
    "What that does to accuracy: accuracy on the test split less the base's on the same "
    "documents, with 95 % intervals over documents and seeds (one seed: over documents only).",
)

# %% tags=["hide-input"]
Markdown(adversarial.in_words(told))

# %% tags=["remove-input"]
Markdown(adversarial.older(p.tasks))

# %% tags=["hide-input"]
ends = "jsd jsd_low jsd_high accuracy_change accuracy_change_low accuracy_change_high"
charts.table(
    adversarial.wide(found),
    "Divergence (JSD, in nats) and change of accuracy, means with their intervals.",
    columns=f"where sparsity adversary {ends}",
    fold="Divergence and cost, number by number",
)

# %% [markdown]
# **The price of divergence.** One pressure is one point. Frozen adversaries cost little to train,
# so they are trained at several pressures $\lambda_{adv}$:

# %% tags=["hide-input"]
charts.table(
    adversarial.price(frame),
    "What divergence costs frozen adversaries at each pressure, with intervals.",
    columns=f"where sparsity pressure {ends}",
    fold="Pressure by pressure",
    missing="Give `pressures` more than one value to see it.",
)

# %% [markdown]
# ## What would change our mind
#
# **Two trainings already disagree.** If a classifier trained from another seed has another
# attention too, divergence alone proves nothing about the adversary.

# %% tags=["hide-input"]
Markdown(adversarial.of_another_seed(told))

# %% [markdown]
# **The divergence has ceilings.** It is at most $\ln 2$, where two attentions share no token.
# Against a given base it is largest with all weight on the token that the base weighs least; where
# the base is nearly uniform and the document short, that is well below $\ln 2$. And sparsity has
# a share in it of its own: a token that one of the two weighs, and the other sets to exactly zero,
# adds half its weight times $\ln 2$.

# %% tags=["hide-input"]
parts = adversarial.shares(at_default)
charts.table(
    parts,
    "The divergence in nats, the most there could be against this base, and the share of it that "
    "comes from tokens which only one of the two attentions weighs. Means over documents.",
    columns="where sparsity adversary jsd jsd_ceiling share_ceiling share_disjoint",
    fold="Ceilings and zeros, number by number",
)

# %% tags=["hide-input"]
Markdown(adversarial.of_their_ceilings(adversarial.shares(decisive)))

# %% [markdown]
# How far can any attention be from uniform attention? The farthest has all its weight on one token.
# Its divergence depends on the length alone. Only where uniform attention is also near the base, in
# the first chart, does a divergence as large as its mean over the documents say that there was
# little to contradict. That mean:

# %% tags=["hide-input"]
Markdown(adversarial.from_uniform(frame))

# %% [markdown]
# **Uniform attention is the plainest adversary.** Where it costs no accuracy, a plain mean of the
# states that the encoder made is enough: that attention can be replaced then says more about the
# encoder than about attention. It does not follow that any attention will do. A frozen adversary
# reads the same states, and must put its weight elsewhere than the base:

# %% tags=["hide-input"]
Markdown(adversarial.uniform_and_frozen(told))

# %% [markdown]
# **Who redistributes the information?** The paper's text credits the retrained adversary with
# moving information between hidden states, its Appendix C.1 the frozen one. A frozen encoder cannot
# move anything.

# %% tags=["hide-input"]
replicated = adversarial.replicated(kept, p.tasks)
Markdown(adversarial.who_moves_information(replicated, told))

# %% [markdown]
# **Does importance move along?** If another attention came with another importance of the inputs,
# both would tell of another computation, and the adversary would be no lie. So the rankings of the
# tokens by adversary and by base are compared: by attention, and by gradient importance
# (Kendall's $\tau_b$, {doc}`05-agreement`). The gradient's length does not always find the tokens
# that decide ({ref}`where the truth is known <agreement-truth>`), so what it says here is a hint.

# %% tags=["hide-input"]
projection = frame["sparsity"].iloc[0]
charts.show(
    charts.paper_versus_here,
    adversarial.with_the_base(at_default, projection),
    group="adversary",
    colour="shown",
    panel="where",
    title="Agreement with the base (τ-b)",
    domain=(-1, 1),
    name="importance",
    fold="Agreement of the rankings with the base's",
    caption=f"Agreement with the base under {projection}: of the attentions, and of the "
    "gradient importances of the inputs; 95 % intervals over documents and seeds, cut at the ends "
    "of the axis.",
)

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
rounded = 1 + 1e-4  # of published numbers
over = frame["jsd"] - frame["jsd_ceiling"] * rounded
flat = frame[(frame["adversary"] == "uniform") & (frame["projection"] == "softmax")]
print("no divergence above ln 2:", not frame["jsd"].max() > CEILING * rounded)
print("none above its base's ceiling:", not over.max() > 1e-5)
print("without zeros no disjoint part:", not flat["jsd_disjoint"].abs().max() > 1e-6)

# %% tags=["remove-input"]
provenance.Provenance(p, [*published.adversaries(p.tasks), *kept])
