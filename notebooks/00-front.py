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
# behind it. Most pages can be executed again, on other tasks and on your own texts.

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
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "00-front")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts, paths
from sparseattn.results import published, side_by_side
from sparseattn.verdicts import adversarial, answers, claims, headline, question, replication, truth

runs = p.runs()
# Those of the page that judges claim 6, with what this page was asked for.
asked = parameters.shared(p, "06-adversary")
known = headline.published_beside(p.task)
frame = side_by_side.together(runs, known)
adversaries = asked.adversaries()
cells = claims.cells(frame, adversarial.together(adversaries, known))
decisive = claims.deciding(cells)
verdicts = claims.verdicts(decisive)
live, recorded = parameters.shared(p, "05-truth").examinations(), question.recorded(known)
examined = claims.deciding(question.together(live, recorded))
better = question.cells(examined)

# %% [markdown]
# ## The answer

# %% tags=["remove-input"]
good = question.reached(question.attained(examined))
Markdown(f"{question.answer(examined)}\n\n{good}\n\n{answers.own_texts(frame)}")

# %% tags=["remove-input"]
headline.figure(better, decisive, paths.notebook_names())

# %% [markdown]
# ## What the paper asked
#
# Whether sparse attention agrees more with what matters to the output: it compared attention with
# measures of importance.

# %% tags=["remove-input"]
readings = answers.by_yardstick(frame, [7])
Markdown(headline.answer(frame, verdicts, readings))

# %% [markdown]
# ## How much of the paper comes out again

# %% tags=["remove-input"]
yardstick = truth.of_importances(truth.evidence_auc(runs))
replicated = replication.replicate().query("task in @known")
Markdown(headline.reproduced(replicated, published.ledger(known), verdicts, yardstick))

# %% [markdown]
# ## The paper's claims
#
# A claim *holds* when most classifiers are for it and none is against; *on average*, when only
# their mean is; *reversed*, the other way round; *mixed*, when some are for it and others against;
# *negligible*, when the effect is surely too small to matter. It *does not hold* when all that is
# certain of the mean is that it does not speak for the claim by as much as matters; *not reversed*,
# the other way round. It has *too few data* when most classifiers have one seed, or nothing is
# certain. {ref}`The rule <measures-verdicts>` is the same on both sides.
# *Live* is what this build computed itself, and decides nothing beside published tasks.

# %% tags=["remove-input"]
charts.claims_table(headline.by_source(cells), paths.notebook_names())

# %% [markdown]
# ## Read on
#
# - {doc}`01-scores-to-attention`: what makes attention sparse.
# - {doc}`02-tasks-and-classifiers`: what is read, how well, how sparsely.
# - {doc}`03-hidden-states`: whether a weight on a state is a weight on a word.
# - {doc}`04-dispersion`: whether few words matter when attention points at few states.
# - {doc}`05-agreement`: attention against importance.
# - {doc}`05-truth`: which measures are true, and whether attention is.
# - {doc}`06-adversary`: other attention, the same predictions.
# - {doc}`07-paper`: every figure of the paper beside ours, on the paper's tasks.
# - {doc}`08-pretrained`: whether the answer holds for a pretrained encoder.
# - {doc}`08-explorer`: single texts, word by word; {doc}`14-live`: a sentence of your own.
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
behind = [*published.runs(known), *published.adversaries(known), *recorded]
provenance.Provenance(p, [*behind, *runs, *adversaries, *live])
