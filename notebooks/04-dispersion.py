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
from sparseattn import parameters

p = parameters.check(globals(), "04-dispersion")

# %% [markdown]
# ## The claims
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
# Tasks marked *(live)* are computed when this page is built. The others are published with this
# book.

# %% tags=["remove-cell"]
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts, origins, paper, published, replication
from sparseattn.appearance import label
from sparseattn.cells import classifier_names
from sparseattn.contradictions import contradictions
from sparseattn.nulls import null_dispersion
from sparseattn.statistics import correlate, summarise
from sparseattn.tables import table

KINDS = {"gradient": "gradient", "loo": "leave-one-out"}
runs = p.runs()
frame = origins.together(runs, p.tasks)
lengths = frame["length"].to_numpy()
noise = null_dispersion(lengths)
frame = frame.assign(
    noise=noise,
    share_noise=lengths**noise / lengths,
    share_attention=frame["attention_effective"] / lengths,
    **{f"share_{kind}": frame[f"effective_inputs_{kind}"] / lengths for kind in KINDS},
)
cells = origins.without_lambda(frame)
WHERE = ["origin", "classifier"]
NO_LAMBDA = Markdown("None of these classifiers has a λ: there is nothing to draw.")

# %% [markdown]
# ## Under softmax and under sparse projections
#
# Two things to look for: how far the points lie from zero, where one token would have all the
# importance, and whether those of sparsemax lie further left than those of softmax. Noise is the
# first thing to hold a high dispersion against: importances drawn at random, $|z_i|$ with $z_i$
# from a standard normal distribution, are as dispersed as the strokes show. That is noise for
# leave-one-out, which gives a single number. A gradient has 300 entries a token, and the lengths of
# random vectors of that size give .9997 in a text of 19 tokens ({ref}`measures-dispersion`).

# %% tags=["hide-input"]
CELL = ["origin", "classifier", "projection", "sparsity"]
chance = dict.fromkeys((f"dispersion_inputs_{kind}" for kind in KINDS), "noise")


def named(rows):
    """Name what dispersion is of, and a panel for it and the classifier."""
    kinds = rows["quantity"].str.removeprefix("dispersion_inputs_").map(KINDS)
    titles = kinds.replace("leave-one-out", "LOO").str.replace("gradient", "Gradient")
    return rows.assign(kind=kinds, panel=titles + ": " + rows["classifier"])


spread = named(origins.beside_chance(summarise(cells, CELL, [*chance, "noise"]), chance))
charts.show(
    charts.paper_versus_here(
        spread,
        group="origin",
        panel="panel",
        title="Dispersion of importance",
        null="null",
        domain=(0, 1),
    ),
    name="dispersion",
    caption="Dispersion of the importance of the inputs, by gradient and by leave-one-out, mean "
    "over documents with 95 % intervals over documents and seeds; and that of noise. Intervals are "
    "cut at the ends of the axis.",
    description="Points with intervals, a panel for each measure and classifier, a row for each "
    "task: dispersion under softmax and under sparse projections, and a stroke where noise would "
    "lie.",
)


# %% tags=["hide-input"]
def span(values, form=".2f"):
    """Write the least and the greatest of some values."""
    return f"{values.min():{form}} to {values.max():{form}}".replace("-", "−")


kind = spread["projection"].eq("softmax").map({True: "softmax", False: "sparse projections"})
told = [f"{span(part)} under {name}" for name, part in spread["mean"].groupby(kind, sort=False)]
Markdown(
    f"Over tasks, classifiers and both measures, mean dispersion is {' and '.join(told)}. Noise "
    f"would give {span(spread['null'])}."
)

# %% [markdown]
# The first of the two tables that open below says the same in tokens. $e^H$ is the **effective
# number** of tokens: how many of equal importance would have the same entropy. The second has the
# numbers of the chart.

# %% tags=["hide-input"]
counted = cells.assign(effective_attention=cells["attention_effective"])
effective = {
    "effective_attention": "of attention",
    "effective_inputs_gradient": "by gradient",
    "effective_inputs_loo": "by leave-one-out",
    "length": "tokens",
}
counts = counted.groupby(CELL, sort=False)[list(effective)].mean().reset_index()
table(
    counts,
    "Effective number of tokens, means over documents and seeds.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "sparsity": "projection",
        **effective,
    },
    formats=dict.fromkeys(effective, ".1f"),
    fold="Effective numbers of tokens",
)

# %% tags=["hide-input"]
table(
    spread,
    "Dispersion of importance. ± over documents and over seeds are different things, and shown "
    "apart.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "sparsity": "projection",
        "kind": "importance by",
        "mean": "dispersion",
        "low": "low",
        "high": "high",
        "null": "noise",
        "sd_documents": "sd over documents",
        "sd_seeds": "sd over seeds",
        "seeds": "seeds",
    },
    formats={"sd_seeds": ".3f"},
    fold="Dispersion, number by number",
)

# %% [markdown]
# The paper's Figure 2 has all projections together and shows how documents spread. A long box says
# that documents differ; a diamond away from the white stroke, that the paper's median is not ours.

# %% tags=["hide-input"]
boxes = pd.concat(
    [
        frame[WHERE].assign(measure=kind, dispersion=frame[f"dispersion_inputs_{kind}"])
        for kind in KINDS
    ]
)
theirs = origins.reported(paper.figure2(), frame)
if theirs is not None:
    theirs["measure"] = theirs["quantity"].str.removeprefix("dispersion_inputs_")
charts.show(
    charts.distribution(
        boxes,
        theirs,
        value="dispersion",
        group="origin",
        colour="measure",
        panel="classifier",
        title="Dispersion of importance",
    ),
    name="figure-2",
    caption="How documents spread (the paper's Figure 2): half of them lie within a box, nine in "
    "ten within a line; the white stroke, and the paper's mark, is the median.",
    description="Boxes with whiskers, a panel for each classifier and a row for each task: the "
    "dispersion of gradient and of leave-one-out importance, with the paper's medians.",
)

# %% [markdown]
# ## As λ grows
#
# If sparser attention gave sparser importance, the lines below would fall to the right.

# %% tags=["hide-input"]
graded = frame[frame["lam"].notna()]
OVER = [*WHERE, "lam"]
series = named(origins.beside_chance(summarise(graded, OVER, [*chance, "noise"]), chance))
series = series.assign(panel=series["origin"] + ", " + series["kind"])
NO_LAMBDA if series.empty else charts.show(
    charts.over_lambda(
        series,
        colour="classifier",
        panel="panel",
        title="Dispersion of importance",
        null="null",
        domain=(0, 1),
    ),
    name="dispersion-over-lambda",
    caption="Dispersion of the importance of the inputs as λ grows (sparser to the right), with "
    "95 % intervals, and that of noise. Intervals are cut at the ends of the axis; where seeds are "
    "few and disagree, one can fill its panel.",
    description="Lines against lambda, a panel for each task and measure, a line for each "
    "classifier; a dotted line marks noise.",
)


# %% tags=["hide-input"]
def ends(rows, keys):
    """Return each line's value at its lowest and at its highest λ, where it has two or more."""
    found = rows.sort_values("lam").groupby(keys)["mean"].agg(["first", "last", "count"])
    return found[found["count"] > 1]


several = bool((graded.drop_duplicates(OVER).groupby(WHERE).size() > 1).any())
if several:
    line = ends(series, ["panel", "classifier"])
    falls = line["last"] < line["first"]
    told = (
        f"From its lowest λ to its highest, dispersion falls in {falls.sum()} of {len(line)} lines "
        "(a line is a classifier on a task, by one measure). The change is "
        f"{span(line['last'] - line['first'], '+.3f')}."
    )
Markdown(told if several else "")

# %% [markdown]
# λ is a temperature: $\text{sparsegen}(a; \lambda)$ is sparsemax of the scores $a/(1 - \lambda)$,
# so a network that scales its scores undoes it. What it makes of a λ has to be looked at: the
# **effective share** of the tokens, $e^H/n$ with $H$ the entropy of the attention weights.

# %% tags=["hide-input"]
realised = summarise(graded, OVER, ["share_attention"])
NO_LAMBDA if realised.empty else charts.show(
    charts.over_lambda(
        realised,
        colour="classifier",
        panel="origin",
        title="Effective share of attention",
        domain=(0, 1),
    ),
    name="realised",
    caption="How sparse attention in fact is at each λ: the effective share of the tokens, with "
    "95 % intervals over documents and seeds, cut at the ends of the axis.",
    description="Lines falling with lambda, a panel for each task and a line for each classifier.",
)

# %% tags=["hide-input"]
if several:
    line = ends(realised, WHERE)
    told = (
        f"At the lowest λ, attention is spread over {span(line['first'], '.0%')} of the tokens; at "
        f"the highest, over {span(line['last'], '.0%')}. The same λ is not the same sparsity."
    )
Markdown(told if several else "")

# %% [markdown]
# ## Against the sparsity that is realised
#
# If sparse attention gave sparse importance, the points below would follow the grey diagonal, where
# importance is spread over as many tokens as attention is. If it made no difference, they would lie
# on a level line.

# %% tags=["hide-input"]
SHARES = [f"share_{kind}" for kind in KINDS]
keys = [*WHERE, "sparsity"]
shares = frame.groupby(keys, sort=False)[["share_attention", "share_noise", *SHARES]]
shares = shares.mean().reset_index()
points = shares.melt([*keys, "share_attention", "share_noise"], var_name="kind", value_name="share")
points["panel"] = points["origin"] + ", " + points["kind"].str.removeprefix("share_").map(KINDS)
order = points["origin"].map({one: place for place, one in enumerate(points["origin"].unique())})
charts.show(
    charts.against(
        points.iloc[order.argsort(kind="stable")],
        x="share_attention",
        y="share",
        titles=("Effective share of attention", "Effective share of importance"),
        panel="panel",
        null="share_noise",
        diagonal=True,
        log=True,
    ),
    name="against-realised",
    caption="Over which share of the tokens attention is spread, and over which their importance "
    "is: a point is a classifier under one projection, mean over documents and seeds. Grey: the "
    "same share for both; dotted: noise.",
    description="Points, a panel for each task and measure, a colour for each classifier: the "
    "effective share of importance against the effective share of attention, both on logarithmic "
    "axes.",
)

# %% [markdown]
# ## Correlation with sparsity
#
# The paper's Table 2 correlates λ with dispersion. It does not name the coefficient, nor the number
# of points. The chart below has Pearson's within seeds, with an interval; beside it, the
# correlation with the sparsity that is realised, one minus the effective share of attention. The
# folded table adds the numbers of runs and seeds, and the correlation with the rank of λ, on which
# the verdict at the end of this page rests. Both are within seeds, and their intervals over seeds.

# %% tags=["hide-input"]
AXES = {"lam": "with λ", "sparse": "with realised sparsity"}
of_run = frame.groupby(["origin", "key"])["share_attention"].transform("mean")
measured = frame.assign(sparse=(1 - of_run).round(9))
GRADIENT = "dispersion_inputs_gradient"
found = {
    (x, method): correlate(measured[measured[x].notna()], WHERE, x, [GRADIENT], method=method)
    for x in AXES
    for method in ("pearson", "rank")
}
shown = [rows.assign(axis=AXES[x], method=method) for (x, method), rows in found.items()]
shown = pd.concat(shown).rename(columns={"correlation": "mean"}).dropna(subset=["mean"])
theirs = origins.reported(paper.table2(), frame)
NO_LAMBDA if shown.empty else charts.show(
    charts.paper_versus_here(
        shown[shown["method"] == "pearson"],
        None if theirs is None else theirs.assign(axis=AXES["lam"]),
        group="origin",
        colour="classifier",
        panel="axis",
        title="Correlation with dispersion",
        domain=(-1, 1),
    ),
    name="correlation",
    caption="Pearson's correlation of sparsity with the dispersion of gradient importance, with "
    "95 % intervals over seeds; of one seed there is none. Below zero, importance narrows as "
    "attention gets sparser.",
    description="Points with intervals, a row for each task and a colour for each classifier, a "
    "panel each for lambda and for realised sparsity, the paper's beside ours for lambda.",
)

# %% tags=["hide-input"]
table(
    shown,
    "Correlation of sparsity with the dispersion of gradient importance, within seeds.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "axis": "correlation",
        "method": "coefficient",
        "mean": "here",
        "low": "low",
        "high": "high",
        "points": "runs",
        "seeds": "seeds",
    },
    fold="With λ and with its rank, number by number",
)

# %% tags=["hide-input"]
replicated = replication.replicate(published.measurements(p.tasks), published.ledger(p.tasks))
against = contradictions(replicated).set_index("number").loc[1]
both = replicated[(replicated["item"] == "Table 2") & replicated["here"].notna()]
both = both["task"].map(label) + " with " + classifier_names(both)
drawn = shown[(shown["method"] == "pearson") & (shown["axis"] == AXES["lam"])]
drawn = drawn[~drawn["origin"].str.endswith(origins.LIVE)]
only_here = [
    pair for pair in drawn["origin"] + " with " + drawn["classifier"] if pair not in set(both)
]
pairs = f", for what that table and the published runs share ({'; '.join(both)})"
lacking = f" The chart also shows {'; '.join(only_here)}, which that table lacks."
Markdown(
    f"**The paper against itself.** *{against['text']}* In its own {against['items']}: "
    f"{against['paper']}\n\nHere, by Pearson's coefficient{pairs if len(both) else ''}: "
    f"{against['here']}{lacking if only_here else ''}"
)

# %% [markdown]
# ## What would change our mind
#
# **Is the gradient's length importance?** In planted texts, with a BiLSTM under softmax, it hardly
# tells the words that decide from the rest ({ref}`where the truth is known <agreement-truth>`).
# What it says of dispersion, above and in the verdict, stands under that doubt.
#
# **Within a document.** Dispersion does not say *which* tokens are important. Importance may be
# spread and yet lie on the tokens that have attention. Under sparse projections these can be told
# apart: by chance their share of the importance is their share of the tokens.

# %% tags=["hide-input"]
sparse = cells[cells["projection"] != "softmax"]
WITHIN = dict.fromkeys((f"mass_inputs_{kind}" for kind in KINDS), "support_share")
columns = [*WITHIN, "support_share"]
within = origins.pooled(sparse, WHERE, columns)
within = origins.beside_chance(summarise(within, WHERE, columns), WITHIN)
within["kind"] = within["quantity"].str.removeprefix("mass_inputs_").map(KINDS).str.capitalize()
Markdown("This needs a sparse projection.") if within.empty else charts.show(
    charts.paper_versus_here(
        within,
        group="origin",
        colour="classifier",
        panel="kind",
        title="Share of importance on tokens with attention",
        null="null",
        domain=(0, 1),
    ),
    name="attended-mass",
    caption="How much of the importance of the inputs lies on tokens whose attention is not zero, "
    "under sparse projections, with 95 % intervals (cut at the ends of the axis); by chance, "
    "those tokens' share of all tokens.",
    description="Points with intervals, a panel for each measure, a row for each task and a colour "
    "for each classifier; strokes mark the share of tokens that have attention.",
)

# %% [markdown]
# **Other ways to ask.** A confident classifier saturates: its probability hardly moves, so LOO may
# show small differences between small numbers. The logit does not saturate. And gradients reach a
# word by two ways, through the hidden states and through the attention weights; holding these fixed
# leaves the first. If the answer rested on one of these choices, the four would disagree.

# %% tags=["hide-input"]
WAYS = ("gradient", "gradient_fixed", "loo", "loo_logit")
ways = dict.fromkeys((f"dispersion_inputs_{way}" for way in WAYS), "noise")
other = origins.pooled(sparse, WHERE, [*ways, "noise"])
other = origins.beside_chance(summarise(other, WHERE, [*ways, "noise"]), ways)
other["measure"] = other["quantity"].str.removeprefix("dispersion_inputs_")
Markdown("This needs a sparse projection.") if other.empty else charts.show(
    charts.paper_versus_here(
        other,
        group="origin",
        colour="measure",
        panel="classifier",
        title="Dispersion of importance",
        null="null",
        domain=(0, 1),
    ),
    name="other-ways",
    caption="Dispersion by four measures of importance under sparse projections, with 95 % "
    "intervals (cut at the ends of the axis), and that of noise.",
    description="Points with intervals, a panel for each classifier and a row for each task: "
    "gradient, gradient with attention fixed, leave-one-out of the probability and of the logit.",
)

# %% tags=["hide-input"]
SATURATED = {
    "tau_between_inputs_loo_loo_logit": "τ-b, probability and logit",
    "dispersion_inputs_loo": "dispersion, probability",
    "dispersion_inputs_loo_logit": "dispersion, logit",
    "size": "mean size of the logit",
}
sizes = cells.assign(size=cells["logit"].abs())
saturated = sizes.groupby(CELL, sort=False)[list(SATURATED)].mean().reset_index()
table(
    saturated,
    "Leave-one-out of the probability and of the logit: how alike they rank the tokens, how widely "
    "they spread, and how confident the classifiers are. Means over documents and seeds.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "sparsity": "projection",
        **SATURATED,
    },
    fold="Does saturation matter?",
)

# %% [markdown]
# ## Paper vs here

# %% tags=["hide-input"]
rows = replicated[replicated["item"].isin(["Figure 2", "Table 2"])]
rows = rows[rows["task"].isin(p.tasks) & rows["here"].notna()]
rows = rows.assign(
    classifier=classifier_names(rows),
    figure=rows["item"] + ", " + rows["quantity"].str.removeprefix("dispersion_inputs_").map(label),
)
table(
    rows,
    "The paper's Figure 2 (medians) and Table 2 (correlations with λ), and ours, with "
    "95 % intervals (correlations by Pearson's coefficient). Same: the whole interval lies "
    f"within ±{replication.TOLERANCE:g} of the paper's number; different: all of it lies outside; "
    "undecided: part of it does.",
    columns={
        "figure": "in the paper",
        "task": "task",
        "classifier": "classifier",
        "paper": "paper",
        "here": "here",
        "low": "low",
        "high": "high",
        "verdict": "verdict",
    },
) if len(rows) else Markdown("Nothing is published yet of the tasks that the paper has.")

# %% [markdown]
# ## Verdict
#
# Claim 2 is judged in each *cell*: one classifier, one projection, one measure. Claim 3 is judged
# in each *series*: the runs of one classifier over λ, by the correlation with the rank of λ (the
# chart of correlations above has Pearson's with λ itself).

# %% tags=["hide-input"]
judged = origins.verdicts(frame, [2, 3])
SPREAD = {
    "supported": "Under sparse attention the importance of inputs stays spread out",
    "contradicted": "Under sparse attention the importance of inputs is on few tokens",
    "mixed": "Under sparse attention the importance of inputs stays spread out in some cells, not "
    "in others",
    "unclear": "Whether the importance of inputs stays spread out is unclear",
    "too few seeds": "Too few seeds to say whether the importance of inputs stays spread out",
    "not measured here": "Whether the importance of inputs stays spread out is not measured here",
}
WAYS = ("growing", "falling")
Markdown(
    f"**{SPREAD[origins.balance(judged, 2)]}: {origins.counts(judged, 2)} cells.** Claim 2 says "
    f"that it does: {origins.by_outcome(judged, 2)}. Claim 3 says that it spreads more as "
    f"attention gets sparser: {origins.by_outcome(judged, 3, WAYS)}; together "
    f"{origins.counts(judged, 3, WAYS)} series, *{origins.balance(judged, 3)}*. "
    f"{origins.own_texts(frame)}"
)

# %% tags=["hide-input"]
table(
    judged,
    "The two claims, task by task.",
    columns={"number": "claim", "origin": "task", "verdict": "verdict", "sentence": "numbers"},
)

# %% tags=["hide-input"]
Markdown(origins.rules(judged))

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
highest = frame[["attention_dispersion", *ways, *WITHIN]].max()
print("dispersion and mass are shares:", bool((highest <= 1 + 1e-4).all()))
print("attention is no more even than even:", bool((frame["share_attention"] <= 1 + 1e-4).all()))

# %% tags=["remove-input"]
from sparseattn.provenance import Provenance

Provenance("04-dispersion", p, [*published.runs(p.tasks), *runs])
