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

# %% tags=["remove-input"]
from sparseattn import parameters

p = parameters.check(globals(), "05-agreement")

# %% [markdown]
# ## The claims
#
# For a document of $n$ tokens with embeddings $X_1, \dots, X_n$ and hidden states
# $h_1, \dots, h_n$, let $f$ be the logit and $\hat y = \sigma(f)$ the probability of the positive
# class. Two measures of what the output owes token $i$, each summing to one over the document:
#
# $$
# g_{\hat y}(x_i) = \frac{\|\partial f/\partial X_i\|_2}{\sum_k \|\partial f/\partial X_k\|_2},
# \qquad
# D_{\hat y}(x_i) = \frac{|\hat y - \hat y_{-i}|}{\sum_k |\hat y - \hat y_{-k}|},
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

# %% tags=["remove-cell"]
import pandas as pd

from sparseattn import charts, claims, paper
from sparseattn.cells import classifier_names, measurements
from sparseattn.statistics import summarise
from sparseattn.tables import table

runs = p.runs()
frame = measurements(runs)

# %% [markdown]
# ## Inputs and hidden states

# %% tags=["hide-input"]
TAUS = [f"tau_{of}_{kind}" for of in ("inputs", "hidden") for kind in ("gradient", "loo")]
BY = [*paper.CELL, "alpha", "classifier"]


def named(rows):
    """Spell a quantity such as tau_inputs_loo as 'inputs, leave-one-out'."""
    parts = rows["quantity"].str.extract("tau_(?:relative_)?(inputs|hidden)_(.*)")
    return rows.assign(
        importance=parts[0].map(charts.label) + ", " + parts[1].map(charts.label), measure=parts[1]
    )


def without_lambda(rows):
    """Leave sparsegen to the charts over λ, unless there is nothing else."""
    return (
        rows if (rows["projection"] == "sparsegen").all() else rows.query("lam.isna() or lam == 0")
    )


taus = named(summarise(frame, BY, TAUS))
both = without_lambda(taus)
reported = named(paper.table6()).query("task in @taus.task")
reported = reported.assign(classifier=classifier_names(reported), mean=reported["value"])
charts.show(
    charts.paper_versus_here(
        both,
        reported if len(reported) else None,
        group="importance",
        colour="projection",
        panel="classifier",
        domain=(-1, 1),
    ),
    name="agreement",
    caption="Agreement (Kendall's τ-b) of attention with four measures of importance, with 95 % "
    "intervals over documents and seeds.",
    description="Points with intervals in one panel for each classifier: agreement with the "
    "importance of inputs and of hidden states, by gradient and leave-one-out, under softmax and "
    "sparsemax.",
)

# %% tags=["hide-input"]
table(
    both,
    "Agreement of attention with importance. ± over documents and over seeds are different things, "
    "and shown apart.",
    columns={
        "classifier": "classifier",
        "projection": "projection",
        "importance": "importance of, by",
        "mean": "τ-b",
        "low": "low",
        "high": "high",
        "sd_documents": "sd over documents",
        "sd_seeds": "sd over seeds",
        "undefined": "undefined",
    },
    formats={"undefined": ".1%", "sd_seeds": ".3f"},
)

# %% [markdown]
# ## Over λ

# %% tags=["hide-input"]
from IPython.display import Markdown

NO_LAMBDA = Markdown("None of these classifiers has a λ: there is nothing to draw.")
series = taus[taus["lam"].notna() & taus["quantity"].str.startswith("tau_inputs")]
theirs = named(paper.figure3()).query("task in @taus.task")
theirs = theirs.assign(classifier=classifier_names(theirs), mean=theirs["value"])
NO_LAMBDA if series.empty else charts.show(
    charts.over_lambda(
        series,
        theirs if len(theirs) else None,
        colour="classifier",
        panel="importance",
        domain=(-1, 1),
    ),
    name="agreement-over-lambda",
    caption="Agreement of attention with the importance of inputs as λ grows (sparser to the "
    "right), with 95 % intervals.",
    description="Lines of agreement against lambda, a panel each for gradient and leave-one-out, "
    "one line for each classifier.",
)

# %% [markdown]
# ## What would change our mind
#
# **Ties.** With $s$ non-zero weights of $n$, the $n - s$ zeros are tied, and no ordering of an
# untied importance can reach $\tau_b = 1$: the most is
#
# $$
# \tau_b^{\max} = \sqrt{P/N}, \qquad P = s(n - s) + \tfrac{s(s-1)}{2}, \quad N = \tfrac{n(n-1)}{2}.
# $$
#
# A fall of $\tau_b$ with λ may be nothing but that. So we divide by the ceiling, and put beside it
# a measure that ties do not touch: the probability (AUC) that a token with attention is more
# important than one without.

# %% tags=["hide-input"]
CHECKS = {
    "tau_inputs_gradient": "τ-b",
    "tau_ceiling": "ceiling of τ-b",
    "tau_relative_inputs_gradient": "τ-b ÷ its ceiling",
    "auc_inputs_gradient": "AUC of the attended",
}
checks = summarise(frame[frame["lam"].notna()], BY, list(CHECKS))
checks["shown"] = checks["quantity"].map(CHECKS)
NO_LAMBDA if checks.empty else charts.show(
    charts.over_lambda(
        checks,
        colour="shown",
        panel="classifier",
        title="Agreement with input gradients",
        domain=(-1, 1),
    ),
    name="ties",
    caption="The same agreement with and without the effect of ties, with 95 % intervals. The AUC "
    "is undefined where every token has attention.",
    description="Lines against lambda, a panel for each classifier: tau-b, the largest tau-b that "
    "ties allow, their ratio, and the AUC of attended tokens.",
)

# %% [markdown]
# **Hidden states off the support.** Where a weight is exactly zero, and stays so under a small
# change, the state has no gradient and deleting it changes nothing; its importance is zero *by
# construction*. High agreement with hidden states under sparse attention is therefore partly
# mechanical. In the same vein, holding the attention weights constant makes the gradient of a
# hidden state exactly proportional to its weight, and $\tau_b = 1$ whatever was learned: gradients
# here flow through the weights unless we say otherwise.
#
# **Importance measures disagree among themselves.** Attention cannot be asked to agree with both
# the gradient and leave-one-out more than they agree with one another:

# %% tags=["hide-input"]
BETWEEN = {
    "tau_hidden_gradient_fixed": "hidden gradient, attention fixed",
    "tau_inputs_gradient": "input gradient",
    "tau_inputs_loo": "input LOO",
    "tau_between_inputs_gradient_loo": "gradient and LOO",
}
between = summarise(frame, ["classifier", "projection", "lam"], list(BETWEEN))
between = without_lambda(between)
between["pair"] = between["quantity"].map(BETWEEN)
charts.show(
    charts.paper_versus_here(
        between,
        group="pair",
        colour="projection",
        panel="classifier",
        title="Kendall's τ-b",
        domain=(-1, 1),
    ),
    name="ceilings",
    caption="Agreement of attention with the gradient of hidden states when attention is held "
    "fixed (1 by construction), with the gradient and leave-one-out importance of inputs; last, "
    "the agreement of these two importances with each other.",
    description="Points with intervals, a panel for each classifier: tau-b between pairs of "
    "rankings under softmax and sparsemax.",
)

# %% [markdown]
# **Truth, where it is known.** On planted documents the decisive tokens are known, and each
# ranking can be held against them: the share of its mass on those tokens.

# %% tags=["hide-input"]
TRUTH = {
    "evidence_share": "their share of the tokens",
    "attention_evidence_mass": "attention",
    "evidence_mass_inputs_gradient": "input gradient",
    "evidence_mass_inputs_loo": "input LOO",
}
if "evidence_share" in frame:
    truth = summarise(frame, ["classifier", "projection", "lam"], list(TRUTH))
    truth = without_lambda(truth)
    truth["mass"] = truth["quantity"].map(TRUTH)
    shown = charts.show(
        charts.paper_versus_here(
            truth,
            group="mass",
            colour="projection",
            panel="classifier",
            title="Share on the decisive tokens",
            domain=(0, 1),
        ),
        name="evidence",
        caption="How much of each measure falls on the tokens that truly decide.",
        description="Points with intervals, a panel for each classifier: the share of attention "
        "and of importance on the decisive tokens, beside those tokens' share of all tokens.",
    )
else:
    shown = Markdown("Not known for this task.")
shown

# %% [markdown]
# ## Paper vs here

# %% tags=["hide-input"]
compared = paper.beside(pd.concat([paper.table6(), paper.figure3()]), frame)
if len(compared):
    compared = named(compared).assign(classifier=classifier_names(compared))
    shown = table(
        compared,
        "The paper's τ-b and ours; same: our interval lies within ±0.05 of the paper's number.",
        columns={
            "item": "in the paper",
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
    )
else:
    shown = Markdown("The paper has no figures for this task and these classifiers.")
shown

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
judged = claims.verdicts(frame).query("number in [4, 5]")
table(
    judged,
    "The two claims, by the rule stated for each.",
    columns={
        "number": "#",
        "claim": "claim",
        "verdict": "verdict",
        "sentence": "numbers",
        "rule": "rule",
    },
)

# %% tags=["hide-input"]
# NBVAL_CHECK_OUTPUT
fixed = frame["tau_hidden_gradient_fixed"].dropna()
print("τ-b is 1 by construction with attention fixed:", bool((fixed > 0.999).all()))
print("no τ-b above its ceiling:", bool((frame[TAUS].max(axis=1) <= 1 + 1e-9).all()))

# %% tags=["remove-input"]
from sparseattn.provenance import Provenance

Provenance("05-agreement", p, runs)
