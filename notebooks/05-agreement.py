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
from sparseattn.report import parameters

p = parameters.check(globals(), "05-agreement")

# %% [markdown]
# ## The claims
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
# Tasks without a mark are published with this book; *live* is what this page computes itself.

# %% tags=["remove-cell"]
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.tables import table
from sparseattn.measures.nulls import null_tau_sd
from sparseattn.measures.statistics import correlate, summarise
from sparseattn.results import paper, published, side_by_side, variants
from sparseattn.verdicts import answers
from sparseattn.verdicts.truth import evidence_auc
from sparseattn.verdicts.truth import told as truth_told
from sparseattn.wording import classifier_names, label

KINDS = ("gradient", "loo")
TAUS = [f"tau_{of}_{kind}" for of in ("inputs", "hidden") for kind in KINDS]
WHERE = ["origin", "classifier"]
CELL = [*WHERE, "projection", "sparsity"]
NO_LAMBDA = Markdown("None of these classifiers has a λ: there is nothing to draw.")
NOT_SPARSE = Markdown("This needs a sparse projection.")

runs = p.runs()
frame = side_by_side.together(runs, p.tasks)
cells = side_by_side.without_lambda(frame)
sparse = cells[cells["projection"] != "softmax"]


def named(rows):
    """Spell a quantity such as tau_inputs_loo as 'inputs, leave-one-out'."""
    parts = rows["quantity"].str.extract("_(inputs|hidden)_(gradient|loo)$")
    return rows.assign(
        importance=parts[0].map(label) + ", " + parts[1].map(label), measure=parts[1].map(label)
    )


# %% [markdown]
# ## Inputs and hidden states
#
# The classifiers of the paper's Table 6 and those of this page; the other published ones are in the
# table below.

# %% tags=["hide-input"]
taus = named(summarise(cells, CELL, TAUS))
theirs = side_by_side.reported(paper.table6(), frame)
drawn = taus.assign(panel=taus["origin"] + ", " + taus["classifier"])
if theirs is not None:
    theirs = named(theirs)
    theirs["panel"] = theirs["origin"] + ", " + theirs["classifier"]
    live = drawn["origin"].str.endswith(side_by_side.LIVE)
    drawn = drawn[live | drawn["panel"].isin(theirs["panel"])]
charts.show(
    charts.paper_versus_here(
        drawn, theirs, group="importance", colour="projection", panel="panel", domain=(-1, 1)
    ),
    name="agreement",
    caption="Agreement (Kendall's τ-b) of attention with four measures of importance (the paper's "
    "Table 6), with 95 % intervals over documents and seeds.",
    description="Points with intervals in one panel for each task and classifier: agreement with "
    "the importance of inputs and of hidden states, by gradient and leave-one-out, under softmax "
    "and sparsemax, the paper's and ours.",
)

# %% tags=["hide-input"]
table(
    taus,
    "Agreement of attention with importance. ± over documents and over seeds are different things, "
    "and shown apart.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "sparsity": "projection",
        "importance": "importance of, by",
        "mean": "τ-b",
        "low": "low",
        "high": "high",
        "sd_documents": "sd over documents",
        "sd_seeds": "sd over seeds",
        "seeds": "seeds",
        "undefined": "undefined",
    },
    formats={"undefined": ".1%", "sd_seeds": ".3f"},
    fold="All classifiers, number by number",
)

# %% [markdown]
# Claim 4 is about the difference, hidden states less inputs, paired by document:

# %% tags=["hide-input"]
gap = {f"gap_{kind}": frame[f"tau_hidden_{kind}"] - frame[f"tau_inputs_{kind}"] for kind in KINDS}
gaps = summarise(side_by_side.without_lambda(frame.assign(**gap)), CELL, list(gap))
wide = paper.table6().pivot_table("value", paper.CELL[:4], "quantity")
gaps_there = pd.concat(
    [
        (wide[f"tau_hidden_{kind}"] - wide[f"tau_inputs_{kind}"]).rename("value").reset_index()
        for kind in KINDS
    ],
    keys=list(gap),
    names=["quantity"],
).reset_index("quantity")
theirs = side_by_side.reported(gaps_there, frame)
both = [gaps] if theirs is None else [gaps, theirs]
for rows in both:
    kinds = rows["quantity"].str.removeprefix("gap_").map(label).str.capitalize()
    rows["panel"] = kinds + ", " + rows["projection"]
charts.show(
    charts.paper_versus_here(
        gaps.sort_values("panel", kind="stable"),
        theirs,
        group="origin",
        colour="classifier",
        panel="panel",
        title="τ-b with hidden states less τ-b with inputs",
        domain=(-1, 1),
    ),
    name="gap",
    caption="By how much attention agrees more with hidden states than with inputs, with 95 % "
    "intervals over documents and seeds. Claim 4 says: more than zero, everywhere.",
    description="Points with intervals around zero, a panel for each measure and projection, a row "
    "for each task and a colour for each classifier, the paper's and ours.",
)

# %% [markdown]
# ## Over λ

# %% tags=["hide-input"]
graded = frame[frame["lam"].notna()]
OVER = [*WHERE, "lam"]
series = named(summarise(graded, OVER, TAUS[:2]))
theirs = side_by_side.reported(paper.figure3(), frame)
if theirs is not None:
    theirs = named(theirs)
    theirs["panel"] = theirs["origin"] + ", " + theirs["measure"]
series["panel"] = series["origin"] + ", " + series["measure"]
drawn = series if theirs is None else pd.concat([series, theirs])
lowest = -1 if (drawn["mean"] < 0).any() else 0  # of the points: bands reach further
NO_LAMBDA if series.empty else charts.show(
    charts.over_lambda(series, theirs, colour="classifier", panel="panel", domain=(lowest, 1)),
    name="agreement-over-lambda",
    caption="Agreement of attention with the importance of inputs as λ grows (sparser to the "
    "right), with 95 % intervals, cut at the ends of the axis. The paper's (its Figure 3, on IMDb) "
    "were read off its plot.",
    description="Lines of agreement against lambda, a panel for each task and measure, one line "
    "for each classifier, the paper's dashed.",
)

# %% [markdown]
# λ is a temperature that the network can undo by scaling its scores. So the same agreement against
# the sparsity that is *realised*: the effective share of the tokens, $e^H/n$ with $H$ the entropy
# of the attention weights.

# %% tags=["hide-input"]
shares = frame.assign(share_attention=frame["attention_effective"] / frame["length"])
means = shares.groupby([*WHERE, "sparsity"], sort=False)[["share_attention", *TAUS[:2]]]
points = means.mean().reset_index()
points = named(
    points.melt([*WHERE, "sparsity", "share_attention"], var_name="quantity", value_name="tau")
)
points["panel"] = points["origin"] + ", " + points["measure"]
order = points["origin"].map({one: place for place, one in enumerate(points["origin"].unique())})
charts.show(
    charts.against(
        points.iloc[order.argsort(kind="stable")],
        x="share_attention",
        y="tau",
        titles=("Effective share of attention (← sparser)", "Kendall's τ-b"),
        panel="panel",
    ),
    name="against-realised",
    caption="Agreement of attention with the importance of inputs against realised sparsity; a "
    "point is a classifier under one projection, mean over documents and seeds.",
    description="Points, a panel for each task and measure, a colour for each classifier: τ-b "
    "against the share of the tokens over which attention is spread.",
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
CHECKS = {
    "tau_inputs_gradient": "τ-b",
    "tau_ceiling": "ceiling of τ-b",
    "tau_relative_inputs_gradient": "τ-b ÷ its ceiling",
    "auc_inputs_gradient": "AUC of the attended",
}
# The task of the paper's figure where we have it, else the first.
first = graded[graded["task"].isin(paper.figure3()["task"])]
origin = next(iter((first if len(first) else graded)["origin"]), None)
checks = summarise(graded[graded["origin"] == origin], OVER, list(CHECKS))
checks["shown"] = checks["quantity"].map(CHECKS)
NO_LAMBDA if checks.empty else charts.show(
    charts.over_lambda(
        checks,
        low=None,
        high=None,
        colour="shown",
        panel="classifier",
        title="Agreement with input gradients",
    ),
    name="ties",
    caption=f"{origin}: the same agreement with and without the effect of ties, means over "
    "documents and seeds. The AUC is undefined where every token has attention.",
    description="Lines against lambda, a panel for each classifier: tau-b, the largest tau-b that "
    "ties allow, their ratio, and the AUC of attended tokens.",
)

# %% [markdown]
# Which way each measure goes as λ grows, in a correlation for each task and classifier. If τ-b
# falls because of ties alone, the others do not fall with it. The AUC's trend is no trend of the
# same documents:

# %% tags=["hide-input"]
ends = graded[["origin", "lam", "auc_inputs_gradient"]]
without = ends["auc_inputs_gradient"].isna().groupby([ends["origin"], ends["lam"]]).mean()
absent = []
for one, part in without.groupby(level="origin", sort=False):
    each = [f"{share:.0%} at λ = {lam:g}" for (_, lam), share in part.iloc[[0, -1]].items()]
    absent.append(f"{one}, {' and '.join(dict.fromkeys(each))}")
NO_LAMBDA if graded.empty else Markdown(
    "*Documents without an AUC, of all classifiers*: "
    + "; ".join(absent).replace("λ = -", "λ = \N{MINUS SIGN}")
    + "."
)

# %% tags=["hide-input"]
TREND = {
    "tau": "τ-b",
    "tau_relative": "τ-b ÷ its ceiling",
    "auc": "AUC of the attended",
    "precision": "precision, first tenth",
}
names = [f"{one}_inputs_{kind}" for one in TREND for kind in KINDS]
trend = correlate(graded, WHERE, "lam", names).dropna(subset=["correlation"])
trend = named(trend.rename(columns={"correlation": "mean"}))
trend["shown"] = trend["quantity"].str.extract("^(.*)_inputs_")[0].map(TREND)
trend["panel"] = trend["origin"] + ", " + trend["measure"]
NO_LAMBDA if trend.empty else charts.show(
    charts.paper_versus_here(
        trend,
        group="shown",
        colour="classifier",
        panel="panel",
        title="Correlation with the rank of λ",
        domain=(-1, 1),
    ),
    name="trends",
    caption="Correlation of the rank of λ with four measures of agreement with the importance of "
    "inputs, within seeds, with 95 % intervals over seeds; of one seed there is none. Below zero, "
    "agreement falls as attention gets sparser.",
    description="Points with intervals, a panel for each task and measure of importance, a row for "
    "each measure of agreement and a colour for each classifier.",
)

# %% [markdown]
# **Better than chance?** The same measures under sparse projections, beside what unrelated rankings
# would give. Here *mass* is the share of the importance that lies on tokens with attention; by
# chance it is their share of the tokens.

# %% tags=["hide-input"]
FREE = {"auc": "AUC of the attended", "mass": "Mass on the attended", "precision": "Precision"}
columns = {f"{one}_inputs_{kind}": one for one in FREE for kind in KINDS}
levels = sparse.assign(
    auc=0.5, mass=sparse["support_share"], precision=-(-sparse["length"] // 10) / sparse["length"]
)
free = side_by_side.pooled(levels, WHERE, [*columns, *FREE])
free = named(side_by_side.beside_chance(summarise(free, WHERE, [*columns, *FREE]), columns))
free["panel"] = free["quantity"].map(columns).map(FREE) + ", " + free["measure"]
NOT_SPARSE if free.empty else charts.show(
    charts.paper_versus_here(
        free,
        group="origin",
        colour="classifier",
        panel="panel",
        title="Agreement with the importance of inputs",
        null="null",
        domain=(0, 1),
    ),
    name="tie-free",
    caption="Agreement of sparse attention with the importance of inputs by three measures that "
    "have no ceiling under ties, with 95 % intervals over documents and seeds, and what chance "
    "would give.",
    description="Points with intervals, a panel for each measure of agreement and of importance, a "
    "row for each task and a colour for each classifier; strokes mark chance.",
)

# %% [markdown]
# And for $\tau_b$ itself: of unrelated rankings it is 0 in the mean, with a spread that depends on
# the length of the text and on the ties. In how many documents does it lie further out than all but
# one in twenty of these?

# %% tags=["hide-input"]
spread = cells[["length", "support"]].drop_duplicates().astype(int)
ties = zip(spread["length"], spread["support"], strict=True)
spread["spread"] = [null_tau_sd(n, [n - support]) for n, support in ties]
# The largest τ-b there is must lie that far out, or the document cannot: with a support of one not.
beyond = cells.merge(spread, on=["length", "support"])
reach = beyond["tau_ceiling"] > 1.96 * beyond["spread"]
out_of_reach = 1 - reach.groupby([beyond[name] for name in CELL], sort=False).mean()
beyond = beyond[reach]
for kind in KINDS:
    tau = beyond[f"tau_inputs_{kind}"]
    beyond[f"above_{kind}"] = (tau > 1.96 * beyond["spread"]).astype(float).where(tau.notna())
    beyond[f"below_{kind}"] = (tau < -1.96 * beyond["spread"]).astype(float).where(tau.notna())
sides = [f"{side}_{kind}" for kind in KINDS for side in ("above", "below")]
table(
    beyond.groupby(CELL, sort=False)[sides]
    .mean()
    .join(out_of_reach.rename("out_of_reach"), how="right")
    .reset_index(),
    "Share of documents in which attention agrees (above) or disagrees (below) with the importance "
    "of inputs more than noise would, at the two-sided level of 5 %; mean over seeds. Left out: "
    "documents whose largest possible τ-b, by length and support, does not reach that far.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "sparsity": "projection",
        **{name: f"{name.split('_')[0]}, {label(name.split('_')[1])}" for name in sides},
        "out_of_reach": "left out",
    },
    formats=dict.fromkeys([*sides, "out_of_reach"], ".0%"),
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
BETWEEN = {
    "tau_inputs_gradient": "attention and gradient",
    "tau_inputs_loo": "attention and LOO",
    "tau_between_inputs_gradient_loo": "gradient and LOO",
}
between = side_by_side.pooled(cells, WHERE, list(BETWEEN))
between = summarise(between, WHERE, list(BETWEEN))
between["shown"] = between["quantity"].map(BETWEEN)
charts.show(
    charts.paper_versus_here(
        between,
        group="origin",
        colour="shown",
        panel="classifier",
        title="Kendall's τ-b",
        domain=(-1, 1),
    ),
    name="ceilings",
    caption="Agreement of attention with the gradient and the leave-one-out (LOO) importance of "
    "inputs, and of these two with each other, over projections, with 95 % intervals.",
    description="Points with intervals, a panel for each classifier and a row for each task: tau-b "
    "between three pairs of rankings.",
)

# %% [markdown]
# **The learning rate.** The paper trains at lower rates than this report, whose rates were chosen
# on held-out documents ({doc}`10-deviations`). So the same classifiers were trained at both:

# %% tags=["hide-input"]
measured = variants.summaries().query("task in @p.tasks")
GRADIENTS = {"tau_inputs_gradient": "inputs", "tau_hidden_gradient": "hidden states"}
RATES = [variants.OURS, variants.PAPERS_RATES]
rates = variants.levels(measured).query("variant in @RATES and quantity in @GRADIENTS")
softmax = paper.table6().query("projection == 'softmax' and quantity in @GRADIENTS")
softmax = softmax[softmax["task"].isin(rates["task"])].rename(columns={"value": "mean"})
rates, softmax = (
    rows.assign(
        panel="Gradients of " + rows["quantity"].map(GRADIENTS) + ", " + rows["task"].map(label),
        encoder=rows["encoder"].map(label),
        rate=rows.get("variant", "in the paper"),
    )
    for rows in (rates, softmax)
)
charts.show(
    charts.paper_versus_here(
        rates, softmax, group="rate", colour="encoder", panel="panel", domain=(-1, 1)
    ),
    name="rates",
    caption="Agreement under softmax, trained at this report's learning rates and at the paper's, "
    "means over seeds with 95 % intervals (Student's), beside the paper's own numbers.",
    description="Points with intervals, a panel for the importance of inputs and one for that of "
    "hidden states, rows for the two rates and for the paper, a colour for each encoder.",
) if len(rates) else Markdown("Not measured on these tasks.")

# %% tags=["hide-input"]
asked = {"accuracy": "test accuracy"}
asked |= {name: f"τ-b with gradients of {of}" for name, of in GRADIENTS.items()}
effect = variants.effects(measured).query("variant == @variants.PAPERS_RATES")
effect = effect[effect["quantity"].isin(list(asked))]
table(
    effect.assign(shown=effect["quantity"].map(asked), rows=effect["encoder"].map(label)),
    "What the paper's learning rates change, paired by seed, with 95 % intervals over seeds.",
    columns={
        "task": "task",
        "rows": "encoder",
        "shown": "quantity",
        "ours": "as here",
        "variant_value": "at the paper's rates",
        "difference": "difference",
        "low": "low",
        "high": "high",
        "seeds": "seeds",
    },
    formats=dict.fromkeys(("ours", "variant_value", "difference", "low", "high"), ".2f"),
) if len(effect) else None

# %% tags=["hide-input"]
moved = effect[effect["quantity"] == "tau_inputs_gradient"]
certain = (moved["low"] > 0) | (moved["high"] < 0)
Markdown(
    f"Agreement with the inputs moves, with certainty, in {certain.sum()} of {len(moved)} "
    "classifiers. "
    + (
        "How far attention agrees with the inputs is thus a matter of how a classifier was "
        "trained, and not of its projection and encoder alone: a level of τ-b from one recipe says "
        "little about another, and the comparisons on this page hold for ours."
        if certain.any()
        else "The comparisons on this page do not depend on it as far as can be seen."
    )
) if len(moved) else None

# %% [markdown]
# (agreement-truth)=
# **Truth, where it is known.** On planted documents the decisive tokens are known, and each
# ranking can be held against them: the share of its mass on those tokens; and the AUC, the
# probability that it puts a decisive token above another one, ½ by chance.

# %% tags=["hide-input"]
TRUTH = {
    "attention_evidence_mass": "attention",
    "evidence_mass_inputs_gradient": "input gradient",
    "evidence_mass_inputs_loo": "input LOO",
}
shown = Markdown("Not known for these tasks.")
if "evidence_share" in frame:
    share = dict.fromkeys(TRUTH, "evidence_share")
    truth = summarise(cells.dropna(subset=["evidence_share"]), CELL, [*TRUTH, "evidence_share"])
    truth = side_by_side.beside_chance(truth, share)
    truth["mass"] = truth["quantity"].map(TRUTH)
    shown = charts.show(
        charts.paper_versus_here(
            truth,
            group="mass",
            colour="projection",
            panel="classifier",
            title="Share on the decisive tokens",
            null="null",
            domain=(0, 1),
        ),
        name="evidence",
        caption="How much of each measure falls on the tokens that truly decide; by chance, their "
        "share of the tokens.",
        description="Points with intervals, a panel for each classifier: the share of attention "
        "and of importance on the decisive tokens, beside those tokens' share of all tokens.",
    )
shown

# %% tags=["hide-input"]
RANKED = {"attention": "attention", "gradient": "input gradient", "loo": "input LOO"}
found = evidence_auc(runs)
table(
    found.groupby(["classifier", "sparsity"], sort=False)[list(RANKED)].mean().reset_index(),
    "AUC of the decisive tokens by each ranking, means over documents and seeds; chance is 0.50. "
    "Where the gradient's length is near chance, agreement with it says nothing of truth.",
    columns={"classifier": "classifier", "sparsity": "projection", **RANKED},
) if len(found) else None

# %% [markdown]
# ## Paper vs here

# %% tags=["hide-input"]
figures = pd.concat([paper.table6(), paper.figure3()])
parts = frame.groupby("origin", sort=False)
compared = pd.concat([paper.beside(figures, part).assign(origin=one) for one, part in parts])
shown = Markdown("The paper has no figures for these tasks and classifiers.")
if len(compared):
    compared = named(compared).assign(classifier=classifier_names(compared))
    tally = compared["verdict"].value_counts().to_dict()
    words = ", ".join(f"{count} {verdict}" for verdict, count in tally.items())
    shown = table(
        compared,
        "The paper's τ-b and ours; same: our interval lies within ±0.05 of the paper's number.",
        columns={
            "item": "in the paper",
            "origin": "task",
            "classifier": "classifier",
            "projection": "projection",
            "lam": "λ",
            "importance": "importance of, by",
            "value": "paper",
            "mean": "here",
            "low": "low",
            "high": "high",
            "verdict": "verdict",
        },
        fold=f"Of {len(compared)} figures: {words}",
    )
shown

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
judged = answers.judge(frame, [4, 5])
FALLS = {
    "supported": "The sparser attention is, the less it agrees with the importance of inputs",
    "contradicted": "The sparser attention is, the more it agrees with the importance of inputs",
    "mixed": "Sparser attention agrees more with the importance of inputs in some classifiers, "
    "less in others",
    "unclear": "Whether sparser attention agrees more or less with inputs is unclear",
    "too few seeds": "Too few seeds to say whether sparser attention agrees more or less",
    "not measured here": "Whether sparser attention agrees more or less is not measured here",
}
WAYS = ("falling", "rising")
own = trend[trend["origin"].isin(judged["origin"])] if len(trend) else trend.assign(shown=None)
tau, relative = (own[own["shown"] == name] for name in ("τ-b", "τ-b ÷ its ceiling"))
both = tau.merge(relative, on=[*WHERE, "measure"], suffixes=("", "_relative"))
falls = both[both["high"] < 0]
single = both[(both["seeds"] < 2) & (both["mean"] < 0)]
ceiling = (
    f"Of the {len(falls)} falls of τ-b, {(falls['high_relative'] < 0).sum()} remain when it is "
    f"divided by its ceiling under ties; there, {(falls['low_relative'] > 0).sum()} are rises, and "
    "the others not certain. "
    if len(falls)
    else ""
)
if len(single):
    ceiling += (
        f"Of one seed, without an interval, τ-b goes down in {len(single)} series, and τ-b over "
        f"its ceiling in {(single['mean_relative'] < 0).sum()} of these. "
    )
Markdown(
    f"**{FALLS[answers.balance(judged, 5)]}: {answers.counts(judged, 5, WAYS)} series.** "
    f"Claim 5 says that it falls: {answers.by_outcome(judged, 5, WAYS)}. {ceiling}"
    "\n\nClaim 4 says that attention agrees more with hidden states than with inputs: "
    f"{answers.by_outcome(judged, 4)}; together {answers.counts(judged, 4)} cells, "
    f"*{answers.balance(judged, 4)}*.\n\n{answers.own_texts(frame)}\n\n{truth_told(found)}"
)

# %% tags=["hide-input"]
table(
    judged,
    "The two claims, task by task.",
    columns={
        "number": "claim",
        "origin": "task",
        "verdict": "verdict",
        "counts": "cells",
        "sentence": "numbers",
    },
)

# %% tags=["hide-input"]
Markdown(answers.rules(judged))

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
fixed = frame["tau_hidden_gradient_fixed"].dropna()
print("τ-b is 1 by construction with attention fixed:", bool((fixed > 0.99).all()))
print("no τ-b above its ceiling:", bool((frame[TAUS].max(axis=1) <= 1 + 1e-9).all()))

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("05-agreement", p, [*published.runs(p.tasks), *runs])
