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
# # How fast is it, and why?
#
# **How long do importance, influence and training take here, against what one would use instead
# and against what the machine allows?**
#
# Nothing on this page bears on the paper's claims. It says what they cost to check: whether the
# whole grid of classifiers can be repeated overnight on a laptop, and by which shortcuts, all of
# them exact.

# %% tags=["parameters", "hide-input"]
tasks = ["sst", "newsgroups", "imdb"]

# %% tags=["remove-input"]
from sparseattn.report import parameters

p = parameters.check(globals(), "09-speed")

# %% [markdown]
# ## What is compared
#
# A *peer* is what one would write, or use, instead: a forward pass for each deleted token, a
# backward pass for each hidden state, the same in batches, captum, scipy, `nn.LSTM`. Both get the
# same weights and documents, must first give the same numbers, and are then timed in turns in one
# process. Their ratio is
#
# $$
# r = \frac{\operatorname{median}\, t_{\text{peer}}}{\operatorname{median}\, t_{\text{ours}}},
# $$
#
# and it is what counts: a busy or slower machine changes both times, and $r$ little. The weights
# are random, the sizes the paper's: hidden states of $H = 128$ units a direction, embeddings of
# $E = 300$, documents of $n = 180$ tokens, about IMDb's mean. The *floor* is the time of as many
# floating-point operations in one large matrix product, the best this processor does.

# %% tags=["remove-cell"]
import pandas as pd
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.bench import estimate, pagetimes, timings
from sparseattn.charts.tables import table
from sparseattn.wording import label

reports = timings.read()
nothing = Markdown("Nothing is measured yet: `make bench` measures, `--publish` puts it here.")
compared = timings.rows(reports, "comparisons")
goals = timings.goals(reports)
NAMES = {
    "loo_vs_naive": "LOO: pass a token",
    "loo_vs_batched": "LOO: batches",
    "influence_vs_loop": "Influence: loop",
    "influence_vs_batched": "Influence: copies",
    "transformer_influence_vs_loop": "Transformer influence: loop",
    "tau_vs_scipy": "τ-b: scipy",
    "train_vs_padded": "Training: padded",
    "train_vs_packed": "Training: packed",
}


def threaded(rows):
    """Name the numbers of threads, the setting of a measurement."""
    words = rows["threads"].map(lambda count: f"{count} thread{'s' if count > 1 else ''}")
    return rows.assign(setting=words)


# %% [markdown]
# ## Times faster


# %% tags=["hide-input"]
def where(one):
    """Say on what a measurement was made."""
    by = one["machine"]
    busy = "" if by.get("load") is None else f"; load average beforehand {by['load']}"
    return (
        f"- **{by['threads']} thread{'s' * (by['threads'] > 1)}**: {by['processor']}, "
        f"{by['cores']} cores, {by['system']}, torch {by['torch']}, {by['date']}, "
        f"{by['seconds']} s for all{busy}."
    )


Markdown(
    "Measured with\n\n"
    + "\n".join(map(where, reports))
    + "\n\nA run of a sweep has one thread; at "
    "a prompt torch takes one for each core. The peers always have as many."
) if reports else nothing

# %% tags=["hide-input"]
if reports:
    drawn = threaded(compared[compared["key"].isin(NAMES)])
    drawn = drawn.assign(peer=drawn["key"].map(NAMES), goal=drawn["key"].map(timings.GOALS))
    drawn = drawn.sort_values("key", key=lambda keys: keys.map(list(NAMES).index))
    shown = charts.show(
        charts.times_faster(drawn, group="peer", colour="setting"),
        name="times-faster",
        caption="How many times faster than each peer, beside the goal set beforehand, if any: "
        "leave-one-out (LOO) and influence on a document, a BiLSTM's unless named, τ-b of many "
        "documents, and an epoch of training.",
        description="Points on a logarithmic axis, a row for each peer, a colour for each number "
        "of threads, with a tick where there was a goal.",
    )
else:
    shown = nothing
shown

# %% tags=["hide-input"]
table(
    compared.assign(
        ratio=compared["peer"] / compared["ours"],
        pair=(compared["what"] + ", against " + compared["against"])
        .str.replace("bilstm", label("bilstm"))
        .str.replace("transformer", label("transformer")),
    ),
    "Every comparison. Difference of the results: relative to the largest value; none where the "
    "peer computes another quantity.",
    columns={
        "threads": "threads",
        "pair": "what, against what",
        "ratio": "times faster",
        "ours": "ours (s)",
        "peer": "peer (s)",
        "difference": "difference",
    },
    formats={"ours": ".3f", "peer": ".3f", "ratio": ".1f", "difference": ".0e"},
    fold="Every comparison, number by number",
) if reports else nothing

# %% [markdown]
# ## Distance to the floor
#
# Only the operations inside matrix products are counted: with $T = n(n+1)$ pairs of a variant and a
# position, both directions together, $10\,T H^2$ for leave-one-out (a step $8H^2$, half of a score
# $2H^2$) and $4\,T H(H + E)$ for influence. What is left is gates, tanh, sums and memory.

# %% tags=["hide-input"]
if reports:
    floors = timings.rows(reports, "floors")
    floors["distance"] = floors["seconds"] / floors["floor_onednn"]
    floors["distance_torch"] = floors["seconds"] / floors["floor_torch"]
    shown = table(
        floors,
        "A BiLSTM's work on one document, and as many operations in square matrix products: by "
        "oneDNN, which we use, and by torch's own (MKL).",
        columns={
            "threads": "threads",
            "what": "what",
            "gigaflop": "10⁹ operations",
            "seconds": "seconds",
            "floor_onednn": "floor (s)",
            "distance": "times the floor",
            "distance_torch": "times torch.mm's",
        },
        formats={
            "gigaflop": ".1f",
            "seconds": ".4f",
            "floor_onednn": ".4f",
            "distance": ".1f",
            "distance_torch": ".1f",
        },
    )
else:
    shown = nothing
shown

# %% [markdown]
# ## Why
#
# ### Leave-one-out of inputs
#
# Delete token $i$ of $n$ and the forward LSTM's states before $i$ stay as they were, and so do the
# backward LSTM's after $i$. Only half of all states is new, and of these the input's part of the
# gates, $W_{ih} X_t + b$, is known:
#
# $$
# \begin{aligned}
# s^{(i)}_t &= \underbrace{W_{ih} X_t + b}_{\text{once a document}}
#   + \underbrace{W_{hh}\, h^{(i)}_{t-1}}_{\text{only } t > i}, \\
# a^{(i)}_t &= v^\top \tanh\big(W_\rightarrow \overrightarrow{h}_t
#   + W_\leftarrow \overleftarrow{h}_t + b_a\big),
# \end{aligned}
# $$
#
# with $s$ the gates' sums, $a$ a token's score, and in each score one half known as well. A loop
# takes $2n(n+1)$ steps of $8H(E+H)$ operations, this $n(n+1)$ of $8H^2$. All variants $i < t$ take
# step $t$ together, in blocks of a few positions for one call of the fused kernel: those that lack
# a position of the block set out where all are still alike, and skip their own. The kernel's copy
# of $W_{hh}$, in the order it wants, is made once. Where torch has two threads, the two directions
# run side by side, for a step is too small to be cut in two.
#
# A Transformer's later positions all shift when a token goes. But its first layer reads each token
# at two positions at most: its own, as $u_k$, and the one before, as $s_k$. Scores, their
# exponentials and values are computed once for these, and variant $i$ adds up
#
# $$
# \text{attention}^{(i)}(q) = \frac{\sum_{k<i} e^{q \cdot u_k} v(u_k)
#   + \sum_{k>i} e^{q \cdot s_k} v(s_k)}{\sum_{k<i} e^{q \cdot u_k}
#   + \sum_{k>i} e^{q \cdot s_k}}:
# $$
#
# a sum over a prefix and one over a suffix, which neighbouring variants share but for a few terms.
# From there on each variant runs. With one head a layer needs two products where it was trained
# with four: $q \cdot k = x\, W_q^\top W_k\, y$ but for what cancels in the softmax, and
# $W_o \sum_k \alpha_k W_v y_k = \sum_k \alpha_k (W_o W_v) y_k$. On long documents each one's
# attention is a product of its own, through a faster library than torch's batched one.
#
# ### Leave-one-out of hidden states
#
# The encoder does not run at all. Scores $a$ and values $w^\top h_t$ are known; only the projection
# $\varphi$ is solved again, over all but one: $f_{-i} = \sum_{t \ne i} \varphi(a_{-i})_t\,
# w^\top h_t + b$, all $i$ of many documents as one batch.
#
# ### Influence
#
# The influence of $X_i$ on the state $h_p$ is $\|\partial \|h_p\| / \partial X_i\|$, for all $p$
# and $i$. Automatic differentiation goes back once for each $p$. But the way back through step $t$
# is the same linear map for every $p \ge t$. With one row for each $p$, $A$ the adjoints of $h_t$
# and $C$ those of the cell $c_t$,
#
# $$
# \begin{aligned}
# \bar c &= C + A \odot o(1 - \tanh^2 c_t), \\
# \bar o &= A \odot \tanh(c_t)\, o(1 - o), \\
# [A', \bar X_t] &= [\bar c, \bar o]
# \begin{bmatrix} i'W_i + f'W_f + g'W_g \\ W_o \end{bmatrix}, \\
# C' &= \bar c \odot f,
# \end{aligned}
# $$
#
# where $W$ holds recurrent and input weights side by side and $i', f', g'$ are the slopes of $c_t$
# in the gates' sums. All $p$ share each step, as one product; and since three gates share
# $\bar c$, their weights are added first, which halves it. Only the *length* of $\bar X_t$
# is wanted, so where the embedding is wider than the gates, $W^\top = QR$ and
# $\|aW\| = \|aR^\top\|$.
#
# The Frobenius norm of the whole Jacobian $\partial h_p/\partial X_i$ (the paper's Appendix A) is
# the same recurrence with one row for each unit of $h_p$ in place of one for each $p$. In a
# Transformer the last layer's adjoints have one row of attention each, and the first layer is
# matrix products.
#
# ### Kendall's τ-b
#
# Discordant pairs are inversions: with the tokens in the order of $x$, they are the falling pairs
# of $y$. A merge sort counts them level by level; here each level is *one* sort of small integers
# over all documents at once, $\lceil \log_2 n \rceil$ levels, $O(n \log^2 n)$ a document, in
# integers and therefore exact.
#
# ### Training
#
# Documents are shuffled, sorted by length within pools of many batches, cut, and the batches
# shuffled. The backward LSTM reads each document reversed, so that padding needs no packing. The
# embedding is most of the parameters, and a batch touches few of its rows: Adam's moments $m, v$
# and count $k$ of steps advance for those alone,
#
# $$
# \begin{aligned}
# m &\leftarrow \beta_1 m + (1 - \beta_1) g, \\
# v &\leftarrow \beta_2 v + (1 - \beta_2) g^2, \\
# \hat v &\leftarrow \max(\hat v, v), \\
# w &\leftarrow w - \eta\,
#   \frac{m / (1 - \beta_1^k)}{\sqrt{\hat v / (1 - \beta_2^k)} + \epsilon},
# \end{aligned}
# $$
#
# with $g$ a row's gradient, $w$ the row, $\eta$ the learning rate, and $\beta_1, \beta_2, \epsilon$
# Adam's constants.

# %% tags=["hide-input"]
import torch

from sparseattn.models.training import TrainingSettings, batches
from sparseattn.results import published

size = TrainingSettings().batch_size
observed = {run.spec.task: run for run in published.runs(p.tasks)}


def padding(lengths, bucketed):
    """Return the share of an epoch's batches that is padding, for texts of these lengths."""
    order = torch.Generator().manual_seed(0)
    some = batches(lengths, size, order, bucketed=bucketed)
    return 1 - sum(lengths) / sum(len(one) * max(lengths[i] for i in one) for one in some)


padded = []
for task, run in observed.items():
    lengths = run.measurements()["length"].sample(8000, replace=True, random_state=0).tolist()
    plain, bucketed = padding(lengths, False), padding(lengths, True)
    padded.append(f"{label(task)} {plain:.0%} as they come, {bucketed:.1%} bucketed")
Markdown(
    f"The share of an epoch that is padding, in batches of {size}, for 8,000 documents of lengths "
    f"drawn from those observed: {'; '.join(padded)}."
    if padded
    else "No task is published yet whose lengths could be shown."
)

# %% [markdown]
# ### Processes and threads
#
# A sweep runs one process for each core with one thread each. Two threads inside a run gain less
# than a second run does, for many steps are too small to be divided; and two processes of two
# threads each, on two cores, spend their time waiting for one another at the end of each step. With
# one thread the same run also gives the same bits, on one make of processor.
#
# ### Memory
#
# Documents are taken one at a time, or in chunks cut to a bound, longest first; so memory does not
# grow with their number. For one document the tables of all pairs, $n \times n$ scores, values and
# influences, grow with $n^2$, four bytes each; all states of a block of positions, and the adjoints
# of all $p$ at one step, with $nH$.

# %% tags=["hide-input"]
if reports:
    held = timings.rows(reports, "memory")
    shown = table(
        held.assign(encoder=held["encoder"].map(label)),
        "The most that was held at once beside the classifier, one document.",
        columns={
            "threads": "threads",
            "what": "what",
            "encoder": "encoder",
            "tokens": "tokens",
            "megabytes": "MB",
        },
        formats={"megabytes": ".0f"},
    )
else:
    shown = nothing
shown

# %% [markdown]
# ## Growth
#
# On two logarithmic axes $t \propto n^k$ is a line of slope $k$.


# %% tags=["hide-input"]
def drawn_along(along, title):
    """Draw the times of the measurement with the fewest threads against one size."""
    rows = timings.rows(reports[:1], "scaling").query("along == @along")
    panels = rows["what"].str.capitalize() + ", " + rows["encoder"].map(label)
    return charts.show(
        charts.over_size(rows.assign(panel=panels), size=along, title=title, panel="panel"),
        name=f"time-against-{along}",
        caption=f"Time against {title.lower()}, ours and the peers', on logarithmic axes; torch "
        f"threads: {reports[0]['machine']['threads']}.",
        description="Lines, a panel for each encoder and each of leave-one-out and influence, a "
        "colour for each way: ours lies lowest where it is fastest.",
    )


drawn_along("tokens", "Tokens of one document") if reports else nothing

# %% tags=["hide-input"]
drawn_along("documents", "Documents of 50 tokens") if reports else nothing

# %% tags=["hide-input"]
if reports:
    slopes = timings.rows(reports[:1], "growth")
    slopes = slopes.pivot_table(index=["what", "encoder", "by"], columns="along", values="exponent")
    slopes = slopes.reset_index()
    shown = table(
        slopes.assign(encoder=slopes["encoder"].map(label)),
        "The exponent k, fitted by least squares to the logarithms, from 50 tokens on.",
        columns={
            "what": "what",
            "encoder": "encoder",
            "by": "way",
            "tokens": "k, tokens",
            "documents": "k, documents",
        },
    )
else:
    shown = nothing
shown

# %% [markdown]
# All ways run $n$ variants, or $n$ backward passes, over $n$ positions: as $n$ grows, $k$ tends to
# 2 for a BiLSTM's exact values, and to 3 for a Transformer's, whose attention compares all pairs of
# positions in every variant. Ours saves a factor, and none of it is an approximation. A fitted $k$
# lies below that as long as calls cost more than arithmetic, and larger matrices are multiplied at
# a better rate. In the number of documents growth is linear.
#
# ## Runs, and the whole grid
#
# A run is a classifier trained, evaluated on whole splits, and observed on documents of the test
# split: attention, gradients, leave-one-out, influence. Seconds are the processor's; only where no
# run recorded these are they the wall clock's, taken while other runs were computed beside it.

# %% tags=["hide-input"]
timed = estimate.timed_runs(store=False)
grid = estimate.estimate(timed)
timed = timed[timed["task"].isin(p.tasks)]
run_goals = timings.run_goals(timed)
table(
    run_goals,
    f"Median seconds of a run on one core, {estimate.OBSERVED} documents observed, and how its "
    "wall time divides.",
    columns={
        "task": "task",
        "encoder": "encoder",
        "runs": "runs",
        "train": "training",
        "importance": "importance",
        "influence": "influence",
        "seconds": "seconds",
        "goal": "goal",
        "met": "met",
    },
    formats=dict.fromkeys(("train", "importance", "influence"), ".0%")
    | dict.fromkeys(("seconds", "goal"), ".0f"),
) if len(run_goals) else Markdown("No run of these tasks is published yet.")

# %% tags=["hide-input"]
Markdown(
    "The paper's complete grid has 3 tasks × 2 encoders × 2 alignments × 9 projections, one seed "
    f"each, {estimate.OBSERVED} observed documents a run. {estimate.in_words(grid)}"
)

# %% [markdown]
# ## The pages
#
# A page should be usable at once: its text is there before any script, every chart has a static
# picture, and charts are drawn one after another from the book's own copy of Vega.

# %% tags=["hide-input"]
visited = pagetimes.read()
table(
    pd.DataFrame(visited["pages"]),
    "Seconds from asking for a page until its first text, its first chart and its last chart are "
    "drawn, and how much is loaded: Chromium with an empty cache, medians of visits. "
    f"{visited['machine']['processor']}, {visited['machine']['cores']} cores; "
    f"load average beforehand {visited['machine']['load']}.",
    columns={
        "page": "page",
        "charts": "charts",
        "first_text": "first text (s)",
        "first_chart": "first chart (s)",
        "all_charts": "all charts (s)",
        "megabytes": "MB",
    },
    formats=dict.fromkeys(("first_text", "first_chart", "all_charts", "megabytes"), ".2f"),
    fold="Every page",
) if visited else nothing

# %% [markdown]
# ## What would change our mind
#
# - **Another processor.** The ratios rest on how fast it multiplies large matrices against many
#   small ones. `make bench` measures them anew, on yours.
# - **A better peer.** Batched peers run at the fastest of several batch sizes, found on the spot.
#   captum's ablation replaces an embedding by zeros where we delete the token: another quantity, at
#   about the same cost, shown for those who would reach for it.
# - **Random weights.** Times do not depend on them, but for a sparse projection's sorting.
# - **The floor is not tight.** It leaves out everything but matrix products, and a recurrence must
#   make its products one after another, each far from the best size.
# - **A busy machine.** Other work in a burst hits both, for they are timed in turns, and medians
#   are taken; the seconds themselves are as they were.
#
# ## Verdict

# %% tags=["hide-input"]
if reports:
    settings = goals.groupby("threads")["met"].agg(["sum", "size"]).reset_index()
    each = "; ".join(
        f"{row['sum']} of {row['size']} with {row['threads']} thread{'s' * (row['threads'] > 1)}"
        for row in settings.to_dict("records")
    )
    missed = threaded(goals[~goals["met"]])
    lacking = ", ".join(
        f"{NAMES[row['key']]} ({row['ratio']:.1f} of {row['goal']:.0f}, {row['setting']})"
        for row in missed.to_dict("records")
    )
    loo = goals[goals["key"].str.startswith("loo_")].groupby("threads")["met"].all()
    at_once = " and ".join(f"with {n} thread{'s' * (n > 1)}" for n in loo[loo].index)
    said = [
        f"Ratios that reach their goal: {each}." + (f" Missed: {lacking}." if lacking else ""),
        f"Leave-one-out reaches both of its goals at once {at_once or 'in no setting'}.",
    ]
else:
    said = ["The ratios are not measured yet."]
for row in run_goals.dropna(subset=["goal"]).to_dict("records"):
    said.append(
        f"{label(row['task'])}, {label(row['encoder'])}: a run takes {row['seconds']:.0f} s, "
        f"goal {row['goal']:.0f} s, {'met' if row['met'] else 'missed'}."
    )
hours = f"{grid['hours']:.1f} of {timings.GRID_HOURS:.0f} hours"
within = "fits into" if grid["hours"] <= timings.GRID_HOURS else "exceeds"
known = "The grid" if not grid["unknown"] else "What is known of the grid"
said.append(f"{known} {within} one night on two cores ({hours}).")
front = next(
    (row for row in (visited or {"pages": []})["pages"] if "00-front" in row["page"]), None
)
if front is not None:
    met = "met" if front["first_chart"] <= pagetimes.FIRST_CHART else "missed"
    said.append(
        f"The front page's first chart is drawn after {front['first_chart']:.1f} s, goal "
        f"{pagetimes.FIRST_CHART:.0f} s, {met}."
    )
Markdown("\n".join(f"- {one}" for one in said))

# %% tags=["hide-input"]
table(
    threaded(goals.assign(peer=goals["key"].map(NAMES))),
    "The goals, set before anything was measured.",
    columns={
        "peer": "ours against",
        "setting": "setting",
        "goal": "goal",
        "ratio": "times faster",
        "met": "met",
    },
    formats={"ratio": ".1f", "goal": ".0f"},
) if reports else nothing

# %% tags=["hide-cell"]
# NBVAL_CHECK_OUTPUT
from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.influence import influence
from sparseattn.bench import comparisons, peers

for encoder in ("bilstm", "transformer"):
    classifier, text = comparisons.classifier_of(encoder, 16, 20), comparisons.document(25)
    loo = logits_without_each(classifier, [text])[1][0]
    comparisons.difference(loo, peers.leave_out_in_batches(classifier, text, 1))
    comparisons.difference(
        influence(classifier, [text])[0], peers.influence_by_loop(classifier, text)
    )
print("the fast and the plain ways agree on this machine")  # else an error was raised above

# %% tags=["remove-input"]
from sparseattn.report.provenance import Provenance

Provenance("09-speed", p)
