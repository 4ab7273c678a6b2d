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
# **Every classifier trained for this book: how it was made, what it cost, which pages rest on it,
# and how to check it.**
#
# A *run* is one trained and observed classifier, or an *adversary*: one whose attention was trained
# to diverge from that of a run. Its key is a hash of all that its numbers depend
# on, but for the processor: its settings, its documents, and the versions of the stages that made
# it. The same key on the same make of processor means the same numbers; on another make, they
# differ as another seed's would ({ref}`reproduce-identity`).

# %% tags=["parameters", "hide-input"]
tasks = ["sst", "newsgroups", "imdb"]

# %% tags=["remove-input"]
from sparseattn.report import parameters

p = parameters.check(globals(), "11-ledger")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.tables import table
from sparseattn.experiments.specs import STAGES
from sparseattn.report import ledger
from sparseattn.report.ledger_table import ledger_table
from sparseattn.results import published
from sparseattn.wording import label

frame = ledger.everything()
recorded = frame["origin"] == "published"
frame = frame[~recorded | frame["task"].isin(p.tasks)]

# %% [markdown]
# ## The runs

# %% tags=["remove-input"]
counts = frame.groupby(["origin", "task"], sort=False).size()
listed = [f"{count} on {label(task)} ({origin})" for (origin, task), count in counts.items()]
Markdown(
    f"{len(frame)} runs: {', '.join(listed)}. Choose among them, sort by a heading, open a row for "
    "all that is known of it. The address of this page follows the choice, so that it can be sent "
    "to others."
    if listed
    else "No run is published, and no page of this build has computed one."
)

# %% tags=["remove-input"]
ledger_table(frame, "The runs behind the book. Accuracy is on the whole test split.")

# %% [markdown]
# ## From a number to its runs, and back
#
# - *From a page*: its last table, *The runs behind this page*, names each run; the names lead here.
# - *From a figure of the paper*: in {doc}`07-paper`, the number of runs in each row leads to them.
# - *From a run*: its row names the pages that rest on it.

# %% tags=["remove-input"]
Markdown(
    "To check a published run, with its data at hand:\n\n"
    "```\n.venv/bin/sparseattn recompute KEY\n```\n\n"
    "It trains and observes the run anew from its settings alone, puts every quantity beside the "
    f"published one, and fails when one differs by more than {published.TOLERANCE:.0%} over the "
    "documents. On another make of processor than the run's own it is expected to fail. The runs "
    "of this build are made anew by `make book` when the run store is empty."
)

# %% [markdown]
# ## What they cost

# %% tags=["hide-input"]
hours = ledger.times(frame)
spent = hours["hours"].sum()
Markdown("No time was spent.") if frame.empty else charts.show(
    charts.amounts(hours, value="hours", colour="stage", title="Hours"),
    name="hours",
    caption="Wall time of the runs on each task, by stage; a busy machine inflates it. A run that "
    "took over another's weights has no training time of its own.",
    description="A bar for each task, divided into training, scoring on the whole splits, "
    "importance and influence.",
)

# %% tags=["hide-input"]
by_task = hours.pivot_table(index="task", columns="stage", values="hours", sort=False)
by_task = by_task.reindex(columns=list(STAGES.values())).assign(
    all=lambda rows: rows.sum(axis="columns"),
    runs=frame.groupby("task").size(),
    median=frame.groupby("task")["seconds"].median(),
    processor=frame.groupby("task")["cpu_seconds"].median(),
    known=frame.groupby("task")["cpu_seconds"].count(),
)
table(
    by_task.reset_index(),
    f"Hours of computing: {spent:,.1f} in all. Processor time was not recorded of the first runs.",
    columns={
        "task": "task",
        "runs": "runs",
        **{stage: stage for stage in STAGES.values()},
        "all": "all",
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
def joined(values):
    """Name each value once."""
    return ", ".join(sorted({str(value) for value in values}))


short = frame.assign(
    data=frame["fingerprint"].str[:16],
    code=frame["commit"].fillna("no commit").str.replace(r"^(.{8})[^+]*", r"\1", regex=True),
    machine=frame["gpu"].fillna(frame["processor"]),
    day=frame["date"].str[:10],
)
made = short.groupby(["task", "data", "vectors", "state"], sort=False).agg(
    runs=("key", "size"),
    seeds=("seed", "nunique"),
    observed=("observed", joined),
    days=("day", lambda days: " to ".join(dict.fromkeys([days.min(), days.max()]))),
)
table(
    made.reset_index(),
    "The data behind the runs, and the initial word vectors. An outdated run was made by earlier "
    "versions of the stages.",
    columns={
        "task": "task",
        "data": "fingerprint",
        "vectors": "vectors",
        "observed": "observed",
        "runs": "runs",
        "seeds": "seeds",
        "days": "computed",
        "state": "state",
    },
)

# %% tags=["hide-input"]
alike = ["machine", "device", "python", "packages", "versions"]
where = short.groupby(alike, sort=False).agg(code=("code", joined), runs=("key", "size"))
named = ["GPU, or processor", "device", "Python", "packages", "stages", "commits", "runs"]
turned = where.reset_index().astype("str").T.set_axis(named).reset_index(names="of")
table(
    turned,
    "Machines, packages and code, a column each. A commit that ends in + had changes that were not "
    "committed.",
    columns={"of": "what", **{one: f"{one + 1}" for one in turned.columns[1:]}},
)

# %% [markdown]
# ## What would change our mind
#
# A run whose key is right and whose numbers are not: `recompute` would find it. What the table
# itself can show is checked here, and the tests of the book fail when it does not hold:

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
made_here, made_before = (frame[recorded[frame.index] == kind] for kind in (False, True))
print("every key names one run:", frame["key"].is_unique)
one_state = made_before.groupby("task")["fingerprint"].nunique() <= 1
print("one state of the data a published task:", bool(one_state.all()))
print("every run of this build has its page:", bool((made_here["pages"] != "").all()))

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
executed = ledger.pages("11-ledger")
named = {key for keys in executed["runs"] for key in keys}
lost = len(named - set(frame["key"]))
Markdown(
    f"{len(executed)} pages of this build rest on {len(named)} runs; {len(named) - lost} of them "
    f"are listed above{f', {lost} are no longer in the run store' if lost else ''}. "
    f"{int((frame['state'] == 'current').sum())} of the {len(frame)} runs were made by the stages "
    "as they are now, so the same settings would give them the same key today."
)

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("11-ledger", p)
