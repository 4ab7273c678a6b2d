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
# # Which run made this number?
#
# **The classifiers behind this book: how each was made, what it cost, which pages rest on it, and
# how to check it.**
#
# A *run* is one trained and observed classifier; an *adversary*, one whose attention was trained
# to diverge from that of a run; *examined*, a run put to the tests of {doc}`05-truth`. Its key is
# a hash of all that its numbers depend on: its settings, its documents, and the versions of the
# stages that made it. The same key means the same numbers ({ref}`reproduce-identity`). *Outdated*
# are runs of earlier stages; those before the arithmetic that is the same on every processor
# repeat on one make only. Not listed are the variants of {doc}`10-deviations`, of which summaries
# alone are kept, and the small classifiers of {doc}`14-live`, which names them.

# %% tags=["parameters", "hide-input"]
tasks = ["sst", "newsgroups", "imdb"]

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "11-ledger")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.report import ledger

frame = ledger.everything(tasks=p.tasks)
hours = ledger.times(frame)

# %% [markdown]
# ## The answer

# %% tags=["remove-input"]
Markdown(ledger.verdict(frame, ledger.pages("11-ledger")))

# %% [markdown]
# ## The runs

# %% tags=["remove-input"]
Markdown(
    f"{ledger.counted(frame)} Choose among them, sort by a heading, open a row for all that is "
    "known of it. The address of this page follows the choice, so that it can be sent to others."
)

# %% tags=["remove-input"]
ledger.ledger_table(frame, "The runs behind the book. Accuracy is on the whole test split.")

# %% [markdown]
# ## From a number to its runs, and back
#
# - *From a page*: its last table, *The runs behind this page*, names each run; the names lead here.
# - *From a figure of the paper*: in {doc}`07-paper`, the number of runs in each row leads to them.
# - *From a run*: its row names the pages that rest on it.

#
# To check a published run, with its data at hand:
#
# ```
# .venv/bin/sparseattn recompute KEY
# ```
#
# It trains and observes the run anew from its settings alone, puts every quantity beside the
# published one, and fails when one differs by more than a hundredth over the documents. Outdated
# runs need the code of their own commit. The runs of this build are made anew by `make book` when
# the run store is empty.
#
# ## What they cost

# %% tags=["hide-input"]
charts.show(
    charts.amounts,
    hours,
    value="hours",
    colour="stage",
    title="Hours",
    name="hours",
    caption="Wall time of the runs on each task, by stage; a busy machine inflates it. A run that "
    "took over another's weights has no training time of its own; nor are training and observing "
    "counted of classifiers of which the examination alone is published.",
    missing="No time was spent.",
)

# %% tags=["hide-input"]
charts.table(
    ledger.times_by_task(frame),
    f"Hours of computing: {hours['hours'].sum():,.1f} in all. Processor time was not recorded of "
    "the first runs.",
    titles={
        "median": "seconds a run (median)",
        "processor": "of the processor",
        "known": "known of runs",
    },
    formats={"median": ",.0f", "processor": ",.0f"},
)

# %% [markdown]
# ## What they were made from
#
# Data are identified by a fingerprint, a hash of all documents as the classifier sees them.

# %% tags=["hide-input"]
charts.table(
    ledger.data_behind(frame),
    "The data behind the runs, and the initial word vectors. An outdated run was made by earlier "
    "versions of the stages.",
    columns="task data vectors observed runs seeds days state",
    titles={"data": "fingerprint", "days": "computed"},
)

# %% tags=["hide-input"]
charts.table(
    ledger.machines(frame),
    "Machines, packages and code, a column each. A commit that ends in + had changes that were not "
    "committed.",
)

# %% [markdown]
# ## What would change our mind
#
# A run whose key is right and whose numbers are not: `recompute` would find it. What the table
# itself can show is checked here, and the tests of the book fail when it does not hold:

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
print("every key names one run:", frame["key"].is_unique)
states = frame.query("origin == 'published'").groupby("task")["fingerprint"].nunique()
print("one state of the data a published task:", not states.max() > 1)

# %% tags=["remove-input"]
provenance.Provenance(p)
