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
from sparseattn import parameters

p = parameters.check(globals(), "06-adversary")

# %% [markdown]
# ## The claim
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
# For an adversary that diverges from the beginning, or keeps predictions by their distance, may
# never learn them, and looks costly when it was only badly trained. Once it has the base's
# predictions, either adversary's attention alone seeks divergence for a few batches: where it is as
# even as the base's, the divergence is zero and without slope, and nothing else would move it.
#
# **Claim 6**: retrained, attention can be made to diverge at no cost in accuracy; frozen, it cannot
# (the paper's Table 5). For scale, two comparisons that no adversary takes part in: the same
# classifier trained from **another seed**, and the base with **uniform attention**, the same weight
# on every token.
#
# Tasks marked *(live)* are computed when this page is built. The others are published with this
# book.

# %% tags=["remove-cell"]
import numpy as np
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts, claims, origins, paper, published, replication
from sparseattn.adversaries import TRAINED, measurements
from sparseattn.adversary import PRESSURE
from sparseattn.appearance import label
from sparseattn.cells import classifier_names, projection_name
from sparseattn.contradictions import contradictions
from sparseattn.divergence import CEILING, even_ceiling
from sparseattn.prose import listed, span
from sparseattn.statistics import summarise
from sparseattn.tables import table

kept = p.adversaries()
live = measurements(kept)
recorded = {label(task): published.adversaries([task]) for task in p.tasks}
frame = origins.joined(recorded, live)
frame["where"] = frame["origin"] + ": " + frame["classifier"]
at_default = frame[frame["pressure"] == PRESSURE]

# %% [markdown]
# ## How far, and at what cost
#
# Look first for how far right the adversaries lie: near $\ln 2$ they attend to quite other tokens
# than the base. Compare them with *another seed* and with *uniform attention*, which nobody trained
# to differ. The second chart shows the cost: left of zero, accuracy is lost.

# %% tags=["hide-input"]
BY = ["where", "origin", "sparsity", "projection", "adversary"]
ORDER = [*dict.fromkeys(frame["where"]), "reseeded", "uniform", "frozen", "unfrozen"]


def ordered(rows):
    """Keep classifiers as they come; in each, put the comparisons before the adversaries."""
    names = ["where", "adversary"]
    return rows.sort_values(names, key=lambda column: column.map(ORDER.index), kind="stable")


found = ordered(summarise(at_default, BY, ["jsd", "accuracy_change"]))
# Each seed is once the base and once the other, so their mean change is zero by construction.
found = found[(found["adversary"] != "reseeded") | (found["quantity"] == "jsd")]
theirs = origins.reported(paper.table5().assign(projection="softmax"), at_default)
if theirs is not None:
    theirs = theirs.assign(where=theirs["origin"] + ": " + theirs["classifier"])
    theirs = theirs[theirs["where"].isin(found["where"])]


def drawn(quantity, title, **options):
    """Draw one quantity of adversaries and comparisons, the paper's beside ours."""
    return charts.paper_versus_here(
        found[found["quantity"] == quantity],
        None if theirs is None else theirs[theirs["quantity"] == quantity],
        group="adversary",
        colour="projection",
        panel="where",
        title=title,
        **options,
    )


charts.show(
    drawn("jsd", "JSD, nats", domain=(0, 0.7)),
    name="divergence",
    caption="How far attention is from the base's: of a classifier trained from another seed, of "
    "uniform attention, and of the two adversaries. Means over the test split, with 95 % intervals "
    "over documents and seeds (one seed: over documents only). Two seeds make wide intervals; what "
    "reaches beyond the axis is cut there.",
    description="Points with intervals in a panel for each task and classifier, a row each for "
    "another seed, uniform attention, frozen and retrained adversary: the Jensen–Shannon "
    "divergence from the base's attention, under softmax and sparsemax.",
)

# %% tags=["hide-input"]
charts.show(
    drawn("accuracy_change", "Change of accuracy"),
    name="cost",
    caption="What that does to accuracy: accuracy on the test split less the base's on the same "
    "documents, with 95 % intervals over documents and seeds (one seed: over documents only).",
    description="Points with intervals in a panel for each task and classifier, a row each for "
    "uniform attention, frozen and retrained adversary: the change of accuracy against the base.",
)

# %% tags=["hide-input"]
spans = {
    (quantity, name): span(part, "+.3f" if quantity == "accuracy_change" else ".2f")
    for (quantity, name), part in found.groupby(["quantity", "adversary"])["mean"]
}
told = [
    f"- **{label(name).capitalize()}**: divergence {spans['jsd', name]} nats"
    + (f", change of accuracy {spans['accuracy_change', name]}" if name != "reseeded" else "")
    for name in ORDER
    if ("jsd", name) in spans
]
Markdown(
    "Over tasks, classifiers and projections:\n\n" + "\n".join(told) + "\n\nThe most that a "
    f"divergence can be is {CEILING:.2f} nats."
)

# %% tags=["remove-input"]
older = [
    f"{label(one.spec.task)} ({one.spec.label}, seed {one.spec.seed})"
    for one in published.adversary_runs(p.tasks)
    if one.manifest["versions"] != one.spec.versions()
]
Markdown(
    "Made by an earlier version of the recipe, which may cost more accuracy than need be: "
    f"{listed(older)}."
) if older else None

# %% tags=["hide-input"]
wide = found.pivot_table(["mean", "low", "high"], BY, "quantity", sort=False)
wide.columns = [f"{quantity}_{end}" for end, quantity in wide.columns]
signed = [name for name in wide if "accuracy" in name]
wide[signed] = wide[signed].round(3)
table(
    wide.reset_index(),
    "Divergence (JSD, in nats) and change of accuracy, means with the ends of their intervals.",
    columns={
        "where": "classifier",
        "sparsity": "projection",
        "adversary": "against",
        "jsd_mean": "JSD, nats",
        "jsd_low": "low",
        "jsd_high": "high",
        "accuracy_change_mean": "change of accuracy",
        "accuracy_change_low": "low ",
        "accuracy_change_high": "high ",
    },
    formats=dict.fromkeys(signed, "+.3f"),
    fold="Divergence and cost, number by number",
)

# %% [markdown]
# ## The price of divergence
#
# One pressure is one point; what matters is the curve. Frozen adversaries cost little to train, so
# they are trained at several pressures $\lambda_{adv}$. A curve that runs level to the right is
# divergence for free; one that drops pays for it in accuracy.

# %% tags=["hide-input"]
CURVE = [name for name in BY if name != "adversary"]
swept = frame[frame["adversary"] == "frozen"]
swept = swept[swept.groupby("where")["pressure"].transform("nunique") > 1]
points = summarise(swept, [*CURVE, "pressure"], ["jsd", "accuracy_change"])
sides = [
    points[points["quantity"] == name]
    .rename(columns={"mean": name, "low": f"{name}_low", "high": f"{name}_high"})
    .drop(columns="quantity")[[*CURVE, "pressure", name, f"{name}_low", f"{name}_high"]]
    for name in ("jsd", "accuracy_change")
]
shown = sides[0].merge(sides[1], on=[*CURVE, "pressure"])
pressed = sorted(shown["pressure"].unique())
Markdown("Give `pressures` more than one value to see the curve.") if shown.empty else charts.show(
    charts.trade_off(
        shown,
        x="jsd",
        y="accuracy_change",
        order="pressure",
        colour="projection",
        panel="where",
        titles=("JSD, nats", "Change of accuracy"),
    ),
    name="trade-off",
    caption="What divergence costs frozen adversaries, with 95 % intervals of both. The larger a "
    f"point, the higher the pressure: {' < '.join(f'{one:g}' for one in pressed)}; the number "
    "stands beside the largest.",
    description="Points joined by lines in a panel for each task and classifier: divergence "
    "against change of accuracy as the pressure grows, under softmax and sparsemax.",
)

# %% [markdown]
# ## One document
#
# The first observed document, read by the base, by the classifier from another seed, and by both
# adversaries. Marked ● are the tokens that truly decide, where they are known.

# %% tags=["hide-input"]
from sparseattn.tasks import load_task

alike = [one for one in kept if one.spec.base == kept[0].spec.base]
alike = {one.spec.variant: one for one in alike if one.spec.pressure == PRESSURE}
opened = load_task(p.task, p.task_options)
document = opened.test.sample(1)
words = opened.words(document.ids[0])
reading = pd.DataFrame({"token": words})
reading["base"] = kept[0].traces["base_attention"][0, : len(words)]
for variant in ("reseeded", *TRAINED):
    reading[label(variant)] = alike[variant].traces["attention"][0, : len(words)]
known = document.evidence is not None
charts.show(
    charts.tokens(
        reading.assign(known=document.evidence[0].numpy() if known else False),
        columns=[name for name in reading if name != "token"],
        truth="known" if known else None,
    ),
    name="document",
    caption=f"The attention of the base ({live['classifier'].iloc[0]}, {live['sparsity'].iloc[0]}) "
    "and of three others on one document. Each column is shaded relative to its largest weight.",
    description="A row for each token and a column each for the base, another seed, the frozen and "
    "the retrained adversary; darker cells have more attention.",
)

# %% [markdown]
# ## What would change our mind
#
# **Two trainings already disagree.** If a classifier trained from another seed has another
# attention too, divergence alone proves nothing about the adversary.

# %% tags=["hide-input"]
jsd = found[found["quantity"] == "jsd"].pivot_table(
    "mean", ["where", "sparsity"], "adversary", sort=False
)
share = jsd["reseeded"] / jsd["unfrozen"] if {*TRAINED, "reseeded"} <= set(jsd) else pd.Series()
Markdown(
    "Another seed alone gives "
    f"{share.min():.0%} to {share.max():.0%} of the retrained adversary's divergence, by "
    "classifier and projection."
    if len(share.dropna())
    else "Not measured here."
)

# %% [markdown]
# **The divergence has ceilings.** It is at most $\ln 2$, where two attentions share no token.
# Against a given base it is largest with all weight on the token that the base weighs least; where
# the base is nearly uniform and the document short, that is well below $\ln 2$. And sparsity has
# a share in it of its own: a token that one of the two weighs, and the other sets to exactly zero,
# adds half its weight times $\ln 2$.

# %% tags=["hide-input"]
parts = at_default.assign(
    share_disjoint=at_default["jsd_disjoint"] / at_default["jsd"].where(at_default["jsd"] > 1e-6),
    share_ceiling=at_default["jsd"] / at_default["jsd_ceiling"].where(at_default["length"] > 1),
)
parts = ordered(
    summarise(parts, BY, ["jsd", "jsd_ceiling", "share_disjoint", "share_ceiling"])
).pivot_table("mean", BY, "quantity", sort=False)
parts = parts.reset_index()
table(
    parts,
    "The divergence in nats, the most there could be against this base, and the share of it that "
    "comes from tokens which only one of the two attentions weighs. Means over documents.",
    columns={
        "where": "classifier",
        "sparsity": "projection",
        "adversary": "against",
        "jsd": "JSD, nats",
        "jsd_ceiling": "at most, nats",
        "share_ceiling": "of the most",
        "share_disjoint": "from zeros",
    },
    formats={"share_disjoint": ".0%", "share_ceiling": ".0%", "jsd": ".3f", "jsd_ceiling": ".3f"},
    fold="Ceilings and zeros, number by number",
)

# %% tags=["hide-input"]
trained = parts[parts["adversary"].isin(TRAINED)]
zeros = trained[trained["sparsity"] != "softmax"]["share_disjoint"].dropna()
Markdown(
    f"The adversaries reach {trained['share_ceiling'].min():.0%} to "
    f"{trained['share_ceiling'].max():.0%} of what their base allows."
    + (
        f" Under sparse projections {zeros.min():.0%} to {zeros.max():.0%} of that are from zeros."
        if len(zeros)
        else ""
    )
)

# %% tags=["hide-input"]
documents = frame.drop_duplicates(["origin", "document"])
even = documents.assign(even=even_ceiling(documents["length"].to_numpy()))
even = even.groupby(["task", "origin"], sort=False)["even"].mean()
reported = paper.table5().query("quantity == 'jsd' and encoder == 'transformer'")
lines = []
for (name, origin), value in even.items():
    of_paper = " and ".join(
        f"{row['value']:.2f} nats {label(row['adversary'])}"
        for row in reported[reported["task"] == name].to_dict("records")
    )
    told = f" The paper's Transformer has {of_paper}." if of_paper else ""
    lines.append(f"- {origin}: at most {value:.2f} nats.{told}")
Markdown(
    "How far can any attention be from uniform attention? The farthest has all its weight on one "
    "token. Its divergence depends on the length alone; its mean over the documents of each task "
    "is:\n\n" + "\n".join(lines) + "\n\nA divergence close to this number says that the base's "
    "attention was nearly uniform, so that there was little to contradict."
)

# %% [markdown]
# **Uniform attention is the plainest adversary.** Where it costs no accuracy, a plain mean of the
# states that the encoder made is enough: that attention can be replaced then says more about the
# encoder than about attention. It does not follow that any attention will do. A frozen adversary
# reads the same states, and must put its weight elsewhere than the base:

# %% tags=["hide-input"]
ways = ["uniform", "frozen"]
limit = replication.ACCURACY_TOLERANCE
costs = found[(found["quantity"] == "accuracy_change") & found["adversary"].isin(ways)]
fates = [costs["low"] > -limit, costs["high"] < -limit]
costs = costs.assign(fate=np.select(fates, ["free", "dear"], "open"))
costs = costs.pivot_table("fate", ["where", "sparsity"], "adversary", aggfunc="first", sort=False)
costs = costs.reindex(columns=ways).dropna()
free = costs.loc[costs["uniform"] == "free", "frozen"]
Markdown(
    f"Of {len(costs)} classifiers with both, uniform attention costs less than {100 * limit:g} "
    f"points of accuracy in {len(free)}, by the whole interval. Of these, the frozen adversary "
    f"does so too in {(free == 'free').sum()} and costs more in {(free == 'dear').sum()}; in "
    f"{(free == 'open').sum()} its interval leaves it open."
) if len(costs) else Markdown("Not measured here.")

# %% [markdown]
# **Who redistributes the information?** The paper's text credits the retrained adversary with
# moving information between hidden states, its Appendix C.1 the frozen one. A frozen encoder cannot
# move anything.

# %% tags=["hide-input"]
others = pd.concat([*recorded.values()]) if any(map(len, recorded.values())) else live
replicated = replication.replicate(pd.DataFrame(), pd.DataFrame(), others)
Markdown(
    f"*The paper's figures.* {contradictions(replicated).set_index('number').loc[6, 'paper']}\n\n"
    f"*Ours.* Accuracy changes by {spans['accuracy_change', 'frozen']} with frozen parameters and "
    f"by {spans['accuracy_change', 'unfrozen']} retrained. Where a frozen adversary keeps the "
    "accuracy too, the states of the base are enough for its attention, and nothing need be moved."
)

# %% [markdown]
# **Does importance move along?** If another attention came with another importance of the inputs,
# both would tell of another computation, and the adversary would be no lie. So the rankings of the
# tokens by adversary and by base are compared: by attention, and by gradient importance
# (Kendall's $\tau_b$, {doc}`05-agreement`). The gradient's length does not always find the tokens
# that decide ({ref}`where the truth is known <agreement-truth>`), so what it says here is a hint.

# %% tags=["hide-input"]
TAUS = {"tau_attention": "attention", "tau_gradient": "gradient importance"}
first_projection = frame["sparsity"].iloc[0]
moved = at_default[
    (at_default["sparsity"] == first_projection) & (at_default["adversary"] != "uniform")
]
moved = ordered(summarise(moved, BY, list(TAUS)))
moved["shown"] = moved["quantity"].map(TAUS)
charts.show(
    charts.paper_versus_here(
        moved,
        group="adversary",
        colour="shown",
        panel="where",
        title="Agreement with the base (τ-b)",
        domain=(-1, 1),
    ),
    name="importance",
    caption=f"Agreement with the base under {first_projection}: of the attentions, and of the "
    "gradient importances of the inputs; 95 % intervals over documents and seeds, cut at the ends "
    "of the axis.",
    description="Points with intervals in a panel for each task and classifier: tau-b between "
    "adversary and base, of attention and of gradient importance, for another seed, the frozen and "
    "the retrained adversary.",
)

# %% [markdown]
# ## Paper vs here

# %% tags=["hide-input"]
compared = replicated[(replicated["item"] == "Table 5") & replicated["here"].notna()]
if len(compared):
    compared = compared.assign(
        quantity=compared["quantity"].replace("jsd", "JSD, nats").str.replace("_", " "),
        where=compared["task"].map(label) + ", " + compared["encoder"].map(label),
    )
    words = ", ".join(f"{n} {word}" for word, n in compared["verdict"].value_counts().items())
    shown = table(
        compared,
        "The paper's Table 5 and ours, under softmax (the paper does not say which projection), "
        "with our 95 % intervals. Same: the whole interval lies within "
        f"±{replication.TOLERANCE:g} nats (accuracy: ±{replication.ACCURACY_TOLERANCE:g}) of the "
        "paper's number; different: all of it lies outside; undecided: part of it does.",
        columns={
            "where": "classifier",
            "adversary": "adversary",
            "quantity": "of what",
            "paper": "paper",
            "here": "here",
            "low": "low",
            "high": "high",
            "verdict": "verdict",
        },
        fold=f"Of {len(compared)} figures: {words}",
    )
else:
    shown = Markdown(
        "The paper has no figures for this task, and no adversaries on its tasks are published."
    )
shown

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
claim = next(one for one in claims.CLAIMS if one.number == 6)
deciding = origins.deciding(frame)
judged = {origin: claim.judge(part) for origin, part in deciding.groupby("origin", sort=False)}
by_cell = pd.concat(
    [
        one.cells.assign(
            origin=origin,
            classifier=classifier_names(one.cells)
            + [f", {projection_name(row)}" for row in one.cells.itertuples()],
        )
        for origin, one in judged.items()
        if len(one.cells)
    ]
)
words = {"unfrozen": ("at no cost", "not so"), "frozen": ("at a cost", "at no cost")}
of = {
    kind: claims.counted(
        part["verdict"].value_counts().reindex(claims.CELLS, fill_value=0), words[kind]
    )
    for kind, part in by_cell.groupby("adversary")
}
accuracy = origins.own_texts(frame.assign(correct=frame["base_correct"]))
Markdown(
    f"**Attention made to diverge, retrained: {of['unfrozen']} cells; frozen: {of['frozen']} "
    "cells.** The claim has it at no cost in accuracy when retrained, and at a cost when frozen. A "
    "cell is one task, one classifier, one projection and one kind of adversary. "
    f"{accuracy}"
)

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {"origin": origin, "verdict": one.outcome} | one.counts
        for origin, one in judged.items()
        if len(one.cells)
    ),
    "The claim, task by task, and how many cells speak for it, against it, or for neither.",
    columns={
        "origin": "task",
        "verdict": "verdict",
        "supported": "cells for",
        "contradicted": "cells against",
        "unclear": "cells for neither",
        "too few seeds": "cells with one seed",
    },
)

# %% tags=["hide-input"]
changes = paper.table5().query("quantity == 'accuracy_change'").groupby("adversary")["value"]
theirs = {name: span(part, "+.2f") for name, part in changes}
Markdown(
    f"*In the paper's Table 5*, accuracy changes by {theirs['frozen']} with frozen parameters and "
    f"by {theirs['unfrozen']} retrained. Here, cell by cell:"
)

# %% tags=["hide-input"]
SIGNED = ["value", "low", "high"]
by_cell[SIGNED] = by_cell[SIGNED].round(3)
table(
    by_cell,
    "What each cell says of the claim. The interval is that of the change of accuracy; −0.000 is "
    "just below zero. Supported: as the claim has it, that is, diverging at no cost when "
    "retrained, at a cost when frozen.",
    columns={
        "origin": "task",
        "classifier": "classifier",
        "adversary": "parameters",
        "jsd": "divergence, nats",
        "value": "change of accuracy",
        "low": "low",
        "high": "high",
        "seeds": "seeds",
        "verdict": "verdict",
    },
    formats=dict.fromkeys(SIGNED, "+.3f"),
)

# %% tags=["hide-input"]
Markdown(f"*Rule.* {claim.rule}")

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
ROUNDED = 1 + 1e-4  # of published numbers
print("no divergence above ln 2:", bool((frame["jsd"] <= CEILING * ROUNDED).all()))
print(
    "none above its base's ceiling:",
    bool((frame["jsd"] <= frame["jsd_ceiling"] * ROUNDED + 1e-5).all()),
)
flat = frame[(frame["adversary"] == "uniform") & (frame["projection"] == "softmax")]
print("without zeros no disjoint part:", bool(np.allclose(flat["jsd_disjoint"], 0, atol=1e-6)))

# %% tags=["remove-input"]
from sparseattn.provenance import Provenance

Provenance("06-adversary", p, [*published.adversary_runs(p.tasks), *kept])
