"""Where the paper contradicts itself, each case counted from its own figures, and from ours.

Both counts come from one frame, `verdicts.replication.replicate`: its column ``paper`` and its
column ``here``. So the same question is put to both.
"""

from collections.abc import Callable

import pandas as pd

from sparseattn.wording import label, span

READING_ERROR = 0.02
"""Of a difference between two figures read off a plot, each to about 0.01."""


def contradictions(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return all of them, given `verdicts.replication.replicate`.

    ``number``, ``text``, ``items``, ``claims``, and what the ``paper``'s figures and those ``here``
    say, a sentence each.
    """
    rows = [
        {
            "number": number,
            "text": text,
            "items": items,
            "claims": concerned,
            "paper": said(replicated, "paper"),
            "here": said(replicated, "here") or "Not measured here.",
        }
        for number, (text, items, concerned, said) in enumerate(_CASES, 1)
    ]
    return pd.DataFrame(rows)


def _correlations(replicated: pd.DataFrame, column: str) -> str:
    values = _of(replicated, "Table 2", column)[column]
    if values.empty:
        return ""
    return (
        f"Of the correlations of λ with dispersion, {_count(values < 0)} are "
        f"below zero ({span(values)}), which means less dispersion where attention is sparser."
    )


def _transformer_loo(replicated: pd.DataFrame, column: str) -> str:
    rows = _of(replicated, "Table 6", column)
    rows = rows[(rows["encoder"] == "transformer") & rows["quantity"].str.endswith("_loo")]
    pairs = _pairs(rows, column, "quantity", "tau_inputs_loo", "tau_hidden_loo")
    if pairs.empty:
        return ""
    no_higher = pairs["second"] <= pairs["first"]
    return (
        "For the Transformer, by leave-one-out, agreement is no higher with hidden states than "
        f"with inputs in {_count(no_higher)} cells."
    )


def _influence(replicated: pd.DataFrame, column: str) -> str:
    rows = _of(replicated, "Table 1", column)
    pairs = _pairs(rows, column, "projection", "softmax", "sparsemax")
    if pairs.empty:
        return ""
    lower = pairs["second"] < pairs["first"]
    return (
        "The inputs' influence is less dispersed (states are less contextualised) under sparsemax "
        f"than under softmax in {_count(lower)} pairs."
    )


def _rising_curves(replicated: pd.DataFrame, column: str) -> str:
    pairs = _pairs(_of(replicated, "Figure 3", column), column, "lam", -50, -10)
    if pairs.empty:
        return ""
    rises = pairs["second"] - pairs["first"] > READING_ERROR
    named = [
        f"{label(row['encoder'])} {label(row['alignment'])}, "
        f"{label(str(row['quantity']).removeprefix('tau_inputs_'))} "
        f"({span([row['first']])} to {span([row['second']])})"
        for row in pairs[rises].to_dict("records")
    ]
    return (
        f"From λ = −50 to −10, {_count(rises)} curves rise by more than {READING_ERROR:g}"
        f"{', the error of reading them' * (column == 'paper')}{': ' * bool(named)}"
        f"{'; '.join(named)}."
    )


def _rising_tables(replicated: pd.DataFrame, column: str) -> str:
    rows = _of(replicated, "Table 6", column)
    rows = rows[rows["quantity"].str.startswith("tau_inputs")]
    pairs = _pairs(rows, column, "projection", "softmax", "sparsemax")
    if pairs.empty:
        return ""
    rise = pairs["second"] - pairs["first"]
    most = pairs.loc[rise.idxmax()]
    largest = (
        f"; most for {label(most['task'])}, {label(most['encoder'])}, "
        f"{label(str(most['quantity']).removeprefix('tau_inputs_'))}: "
        f"{span([most['first']])} to {span([most['second']])}"
        if rise.max() > 0
        else ""
    )
    return (
        "Going from softmax to sparsemax, agreement with inputs rises or stays in "
        f"{_count(rise >= 0)} pairs{largest}."
    )


def _redistribution(replicated: pd.DataFrame, column: str) -> str:
    rows = _of(replicated, "Table 5", column)
    rows = rows[rows["quantity"] == "accuracy_change"]
    spans = {name: span(part[column]) for name, part in rows.groupby("adversary")}
    if len(spans) < 2:
        return ""
    return (
        f"Accuracy changes by {spans['frozen']} with frozen parameters and by "
        f"{spans['unfrozen']} retrained. A frozen encoder cannot move information between hidden "
        "states; only a retrained one can."
    )


# What the paper says; the items that say otherwise; the claims concerned; and what the figures in a
# column of the replicated ones say, empty where there is nothing in it.
_CASES: tuple[tuple[str, str, str, Callable[[pd.DataFrame, str], str]], ...] = (
    ("The dispersion of importance increases with sparsity.", "Table 2", "3", _correlations),
    (
        "Figure 4: attention agrees more with hidden states than with inputs for all models.",
        "Table 6",
        "4",
        _transformer_loo,
    ),
    ("Sparsity may encourage contextualisation.", "Table 1", "1", _influence),
    ("Agreement with inputs falls as λ grows.", "Figure 3", "5", _rising_curves),
    (
        "Sparse attention agrees less with the importance of inputs.",
        "Table 6",
        "5, 7",
        _rising_tables,
    ),
    (
        "The body credits the redistribution of information to the retrained adversary, Appendix "
        "C.1 to the frozen one.",
        "Table 5",
        "6",
        _redistribution,
    ),
)


def _of(replicated: pd.DataFrame, item: str, column: str) -> pd.DataFrame:
    return replicated[(replicated["item"] == item) & replicated[column].notna()]


def _pairs(rows: pd.DataFrame, column: str, by: str, first: object, second: object) -> pd.DataFrame:
    """Return the cells that have both values of `by`, with what `column` has for each."""
    cell = ["task", "encoder", "alignment", "projection", "quantity"]
    cell = [name for name in cell if name != by]
    sides = [
        rows.loc[rows[by] == value, [*cell, column]].rename(columns={column: name})
        for name, value in (("first", first), ("second", second))
    ]
    return sides[0].merge(sides[1], on=cell)


def _count(true: pd.Series) -> str:
    return f"all {len(true)}" if true.all() else f"{int(true.sum())} of {len(true)}"
