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
# # Does sparse attention make a text classifier easier to interpret?
#
# Attention weights are often read as an explanation, and *sparse* attention, whose weights are
# mostly exactly zero, as a better one: it points at few words. But attention weighs hidden states,
# and a hidden state has seen the whole text. {cite:t}`meister2021sparse` asked whether sparse
# attention leads to few influential *inputs*, and answered no. This report repeats their
# experiments, adds those a referee would ask for, and computes every verdict below from the runs
# behind it. Every page can be executed again, on other tasks and on your own texts.

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
from sparseattn.report import parameters

p = parameters.check(globals(), "00-front")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts, paths
from sparseattn.results import published
from sparseattn.results.frames import measurements
from sparseattn.verdicts import answers, headline, truth

runs = p.runs()
# Those of the page that judges claim 6, with what this page was asked for.
asked = parameters.shared(p, "06-adversary")
known = headline.published_beside(p.task)
frames = headline.by_source(runs, known)
verdicts = headline.verdicts_of(frames, measurements(asked.adversaries()))

# %% [markdown]
# ## The answer

# %% tags=["remove-input"]
Markdown(headline.front(frames, verdicts))

# %% tags=["remove-input"]
charts.table(
    headline.all_shares(frames),
    "Effective number of tokens (exp of the Shannon entropy) under sparsemax, as a share of that "
    "under softmax: paired by document, over classifiers; 95 % intervals over documents and seeds.",
    columns="source of mean low high",
    titles={"source": "task", "mean": "share"},
    formats={"mean": ".0%", "low": ".0%", "high": ".0%"},
    fold="The same with intervals",
)

# %% tags=["remove-input"]
source, spread = headline.spread_over_lambda(frames)
charts.show(
    charts.over_lambda,
    spread,
    colour="shown",
    panel="classifier",
    title="Effective share of the tokens",
    domain=(0, 1),
    name="answer",
    caption=f"{source}: as λ grows, attention concentrates on fewer tokens; does the importance "
    "of the inputs? Effective share: exp of the Shannon entropy, over the number of tokens; 95 % "
    "intervals over documents and seeds.",
    description="Lines against lambda, a panel for each classifier: the effective share of tokens "
    "that attention uses, and the effective shares over which the importance of inputs spreads, by "
    "gradient and by leave-one-out.",
)

# %% [markdown]
# ## The paper's claims

# %% tags=["remove-input"]
charts.claims_table(verdicts, paths.notebook_names())

# %% [markdown]
# Each verdict follows a rule stated on the page that judges the claim, from the counts under it:
# *supported* or *contradicted* when more than half of the cells (a classifier under one projection)
# or series (a classifier over λ) are on one side and none on the other, *mixed* when both sides
# have some, *too few seeds* when most rest on one training, else *unclear*. *Live* is what this
# build computed itself, the rest is published with it.

# %% tags=["remove-input"]
Markdown(f"{answers.own_texts(headline.live(frames))}\n\n{truth.told(truth.evidence_auc(runs))}")

# %% [markdown]
# ## Read on
#
# - {doc}`01-scores-to-attention`: what makes attention sparse.
# - {doc}`02-tasks-and-classifiers`: what is read, how well, how sparsely.
# - {doc}`03-hidden-states`: whether a weight on a state is a weight on a word.
# - {doc}`04-dispersion`: whether few words matter when attention points at few states.
# - {doc}`05-agreement`: attention against importance.
# - {doc}`06-adversary`: other attention, the same predictions.
# - {doc}`07-paper`: every figure of the paper beside ours, on the paper's tasks.
# - {doc}`10-deviations`: what is done otherwise here, and how much that changes.
# - {doc}`11-ledger`: every run behind the book; {doc}`12-reproducibility`: all one needs to repeat
#   it.
# - {doc}`../measures`: every measure, with an example to check by hand.
#
# ## Run it again
#
# ```
# make book
# .venv/bin/sparseattn run 05-agreement -p task my.csv
# ```
#
# The first line makes this report, the second one page of it on your own texts. More in
# {doc}`../reproduce`.

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("00-front", p, [*published.runs(known), *runs])
