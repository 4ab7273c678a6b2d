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
# # Your own sentence
#
# **Type a sentence about a film. Where does attention rest, what does the decision depend on, and
# are they the same words?**
#
# The classifiers run in this tab: nothing you type leaves it.

# %% tags=["parameters", "hide-input"]
# None: the classifiers lie beside the page, as `sparseattn export-live` wrote them.

# %% tags=["remove-input"]
from sparseattn.report import parameters, provenance

p = parameters.check(globals(), "14-live")

# %% tags=["remove-cell"]
from IPython.display import Markdown

from sparseattn.charts import table
from sparseattn.report import live

shown = live.page()

# %% tags=["remove-input"]
shown

# %% [markdown]
# ## What one sees
#
# The deeper a word's shade and the higher the bar under it, the larger its share, measured against
# the largest of its strip; a grey word has a share of exactly zero. *Attention* is the weight of
# the hidden state at a word. *Leave-one-out* is the change of the probability when the word is
# deleted, *gradient · embedding* how fast the logit changes along the word's own embedding
# ({doc}`../measures`). Point at a word, or choose it, and the last strip shows what the hidden
# state $h_p$ at its place owes to every word.
#
# *Support*: words with a weight above zero. $\tau_b$: do attention and importance order the words
# alike? *At most*: the largest $\tau_b$ that their ties allow. *Effective*: as many words with
# equal shares would be as evenly spread.
#
# The slider projects the *same scores* anew, softer or sparser than the classifier was trained for;
# all numbers follow. A classifier trained with that projection has learned other scores: where
# there is one, it can stand beside.
#
# ## The classifiers

# %% tags=["remove-input"]
Markdown(live.described(shown))

# %% tags=["remove-input"]
table(
    live.classifiers(shown),
    "The page's classifiers: accuracy on the test split, here and of the full-size run published "
    "for this book, same seed. Milliseconds, medians on one core: to compute all of a "
    "test sentence; from a key at 60 words until its results are painted. Last, the largest "
    "difference of attention and leave-one-out in the browser from those of the same weights in "
    "torch.",
    columns="name key accuracy trained full bytes milliseconds keystroke furthest",
    titles={
        "name": "classifier",
        "key": "run",
        "accuracy": "accuracy here",
        "trained": "before rounding",
        "full": "full-size",
        "bytes": "bytes to load",
        "milliseconds": "ms, a sentence",
        "keystroke": "ms a key, 60 words",
        "furthest": "from torch",
    },
    formats=dict.fromkeys(("trained", "full"), ".3f")
    | dict.fromkeys(("milliseconds", "keystroke"), ".0f")
    | {"furthest": ".0e"},
)

# %% [markdown]
# ## What would change our mind
#
# Nothing here can: one sentence is an anecdote, and one chosen to please or to provoke all the more
# so. It may make a mean of the other pages plausible, or raise a question for them
# ({doc}`05-agreement`, {doc}`05-truth`).

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
here = live.classifiers(shown)
print("eight classifiers:", len(here) == 8)
apart = (here["accuracy"] - here["full"]).abs()
print("within two points of the full-size ones:", apart.max() < 0.02)
print("at most 8 MB in all:", shown.index["bytes"] <= 8e6)

# %% tags=["remove-input"]
provenance.Provenance(p)
