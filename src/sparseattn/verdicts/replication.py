"""Every figure of the paper beside ours: its Tables 1, 2, 3, 5 and 6, its Figures 2 and 3.

The paper's Figures 1 and 4 show quantities of its Table 6. The verdict is that of
`measures.statistics.compare`: *same* when the whole 95 % interval lies within a tolerance of the
paper's number, *different* when all of it lies outside, else *undecided*.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t

from sparseattn.experiments.specs import TRAINED
from sparseattn.measures.statistics import Interval, compare, correlate, estimate, summarise
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import frames, paper, published
from sparseattn.wording import classifier_names, label, projection_name, signed

TOLERANCE = 0.05
"""On τ-b, dispersion, correlation and Jensen–Shannon divergence: differences that do not matter."""
ACCURACY_TOLERANCE = 0.025
SIZE_TOLERANCE = 0.05
"""Of the number of documents, as a share of the paper's."""
RULE = (
    f"A number is the *same* when the whole 95 % interval of ours lies within ±{TOLERANCE} of the "
    f"paper's number (accuracies: ±{ACCURACY_TOLERANCE}; numbers of documents: "
    f"±{SIZE_TOLERANCE:.0%}), *different* when all of the interval lies outside, else "
    "*undecided*: no difference found is not yet sameness."
)
SERIES = ["task", "encoder", "alignment"]
CELL = [*paper.CELL, "adversary"]
COLUMNS = [
    "item", *CELL, "quantity", "statistic", "paper", "here", "low", "high", "runs", "verdict",
    "digitised",
]  # fmt: skip
MISSING = "not measured here"
Row: TypeAlias = dict[str, Any]
_FAMILY = ("softmax", "sparsegen", "sparsemax")  # the paper's projections


def replicate(
    measurements: pd.DataFrame | None = None,
    ledger: pd.DataFrame | None = None,
    adversaries: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put our estimate beside every figure of the paper.

    By default of what is published: `measurements`, one row a run and document; `ledger`, one a run
    with its ``accuracy`` on the whole test split; `adversaries`, one an adversary and document.

    Returns
    -------
    DataFrame
        One row for each figure: ``item`` (``Table 1``, …), the columns of its cell, ``quantity``
        and ``statistic`` as in `results.paper`; ``paper``; ``here`` with its 95 % interval
        ``low``, ``high``; how many ``runs`` are behind it; ``verdict``; and whether the paper's
        number was read off a plot. Where nothing was measured, ``here`` is NaN.

    Notes
    -----
    - Means (Tables 1 and 6, Figure 3): over documents and seeds, as everywhere.
    - Figure 2: the median over the documents under all projections, with `median_interval`.
    - Table 2: Pearson's correlation within seeds, of λ with the mean over documents. The paper does
      not name its coefficient; several of its values are none that Spearman's can take for eight
      points.
    - Table 3: accuracy under softmax, with `accuracy_interval`; and sizes, which are exact.
    - Table 5: means over documents and seeds, under softmax (the paper names no projection;
      those whose loss it takes use softmax) and at λ_adv = `PRESSURE`.
    """
    if measurements is None:
        measurements = frames.measurements(published.runs())
    if ledger is None:
        ledger = published.ledger()
    if adversaries is None:
        adversaries = frames.measurements(published.adversaries())
    theirs = [
        paper.table1(), paper.figure2(), paper.table2(), paper.table3(), paper.table5(),
        paper.table6(), paper.figure3(),
    ]  # fmt: skip
    ours = _sizes()
    if len(measurements):
        frame = paper.unique(measurements[measurements["projection"].isin(_FAMILY)])
        ours += [*_means(frame), *_medians(frame), *_correlations(frame)]
    if len(ledger):
        ours += _accuracies(ledger)
    if len(adversaries):
        ours += _adversaries(adversaries)
    keys, numbers = [*CELL, "quantity", "statistic"], ["here", "low", "high", "runs"]
    found = pd.DataFrame(ours, columns=[*keys, *numbers])
    found = found.astype(
        {name: "float64" if name in ("lam", *numbers) else "str" for name in found}
    )
    wanted = pd.concat(theirs, ignore_index=True).rename(columns={"value": "paper"})
    both = wanted.merge(found, on=keys, how="left")
    both["runs"] = both["runs"].fillna(0).astype(int)
    both["verdict"] = [_verdict(row) for row in both.to_dict("records")]
    return both[COLUMNS]


def missing(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return the figures without a value here; of one seed, a trend has a value and no interval."""
    return replicated[replicated["here"].isna()]


def progress(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return how far the replication is, one row a table or figure.

    ``item``, how many ``figures`` it has, how many were ``measured``, the fewest ``runs`` behind
    one that was, and how many are ``same``, ``different`` and ``undecided``.
    """
    rows = []
    for item, part in replicated.groupby("item", sort=True):
        known = part[part["here"].notna()]
        verdicts = known["verdict"].value_counts()
        rows.append(
            {
                "item": item,
                "figures": len(part),
                "measured": len(known),
                "runs": known["runs"].min() or np.nan,  # counts need no run
                **{name: verdicts.get(name, 0) for name in ("same", "different", "undecided")},
            }
        )
    return pd.DataFrame(rows)


def tally(compared: pd.DataFrame) -> str:
    """Say how many numbers there are, and how many have which verdict."""
    counts = compared["verdict"].value_counts()
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"Of {len(compared)} numbers: {told}"


def named(replicated: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Return the figures of some tasks, in their order, named for charts and tables.

    Adds ``classifier``, ``cell`` (classifier, projection, adversary), ``shown`` (the quantity).
    """
    rows = replicated[replicated["task"].isin(tasks)]
    rows = rows.sort_values("task", key=lambda names: names.map(tasks.index), kind="stable")
    rows = rows.assign(classifier=classifier_names(rows).where(rows["encoder"].notna()))
    return rows.assign(
        cell=[cell_name(row) for _, row in rows.assign(task=None).iterrows()],
        shown=rows["quantity"].map(_in_words),
    )


def _in_words(quantity: str) -> str:
    """Return a quantity as people write it: ``tau_inputs_loo`` → ``τ-b, inputs, leave-one-out``."""
    start, _, kind = quantity.rpartition("_")
    if kind in ("gradient", "loo"):
        measure, _, of = start.rpartition("_")
        return f"{label(measure).replace('tau', 'τ-b')}, {label(of)}, {label(kind)}"
    return quantity.replace("jsd", "JSD, nats").replace("_", " ")


def drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `named` figures for a chart: those with a value here, but for counts."""
    both = rows[rows["here"].notna() & ~rows["quantity"].str.endswith("documents")]
    return both.assign(what=both["task"].map(label) + ", " + both["cell"] + ", " + both["shown"])


def in_words(rows: pd.DataFrame, tasks: Sequence[str], runs: int) -> str:
    """Say how many of the paper's numbers on some tasks have a value here, and which have none."""
    found = progress(rows)
    found = found[found["measured"] < found["figures"]]
    absent = ", ".join(
        f"{row['item']} ({row['figures'] - row['measured']} of {row['figures']})"
        for row in found.to_dict("records")
    )
    return (
        f"Of the paper's {len(rows)} numbers on {', '.join(map(label, tasks))}, "
        f"{rows['here'].notna().sum()} have a value here, from {runs} published runs. "
        + (f"**Not measured yet**: {absent}." if absent else "None is missing.")
    )


def cell_name(row: pd.Series) -> str:
    """Return a figure's cell in words: ``IMDb, BiLSTM, additive, sparsegen λ = −50``."""
    known = [label(row[name]) for name in SERIES if pd.notna(row[name])]
    if pd.notna(row["projection"]):
        known.append(projection_name(row))
    if pd.notna(row["adversary"]):
        known.append(label(row["adversary"]))
    return ", ".join(known)


def as_text(replicated: pd.DataFrame) -> str:
    """Return the figures as lines for a terminal, and at the end what is missing."""
    lines = []
    for item, part in replicated.groupby("item", sort=True):
        lines.append(f"{item}")
        for _, row in part.iterrows():
            here = MISSING
            if pd.notna(row["here"]):
                interval = "no interval"  # a trend of one seed
                if pd.notna(row["low"]):
                    interval = f"[{_number(row['low'])}, {_number(row['high'])}]"
                behind = f"{row['runs']} run{'' if row['runs'] == 1 else 's'}"
                here = "  ".join([_number(row["here"]), interval, behind, row["verdict"]])
            where = f"{cell_name(row)}: {_quantity(row)}"
            lines.append(f"  {where:<72} paper {_number(row['paper'])}  here {here}")
    absent = missing(replicated)
    lines.append(f"{len(replicated) - len(absent)} of {len(replicated)} figures have a value here.")
    for item, part in absent.groupby("item", sort=True):
        named = list(dict.fromkeys(cell_name(row) for _, row in part.iterrows()))
        lines.append(f"Missing of {item}, {len(part)} figures: {'; '.join(named)}.")
    return "\n".join(lines)


def as_json(replicated: pd.DataFrame) -> str:
    """Return the figures as a JSON list of objects, null where there is nothing."""
    return str(replicated.to_json(orient="records", indent=1, force_ascii=False))


def median_interval(values: Float[np.ndarray, "seeds documents projections"]) -> Interval:
    """Median over (S, D, P) seeds, documents and projections, NaN where there is none.

    Its interval is for new documents and new seeds.

    Notes
    -----
    Woodruff's: the share of values up to the median is a mean like any other; the ends of its
    interval (`measures.statistics.estimate`) are turned back into quantiles.

    References
    ----------
    Woodruff (1952), Confidence intervals for medians and other position measures, JASA 47.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan, 0)
    median = float(np.median(known))
    # A value equal to the median counts half, so that ties do not shift the share.
    below = np.where(np.isnan(values), np.nan, (values < median) + 0.5 * (values == median))
    count = (~np.isnan(below)).sum(axis=2)
    share = np.full(count.shape, np.nan)
    np.divide(np.nansum(below, axis=2), count, out=share, where=count > 0)
    found = estimate(share)
    half = float(found["high"] - found["low"]) / 2
    if np.isnan(half):
        return Interval(median, np.nan, np.nan, len(known))
    low, high = np.quantile(known, np.clip([0.5 - half, 0.5 + half], 0, 1))
    return Interval(median, float(low), float(high), len(known))


def accuracy_interval(accuracy: Float[np.ndarray, " seeds"], documents: int) -> Interval:
    """Mean accuracy over seeds (S,), with its interval for new documents and new seeds.

    All on the same N `documents`.

    Notes
    -----
    Var(p̄) = p̄(1 − p̄)/N + s²/S with s² the variance between seeds (0 for a single one), and
    Satterthwaite's degrees of freedom. The spread between seeds has part of the documents' in it,
    so the interval is a little too wide rather than too narrow.
    """
    seeds, mean = len(accuracy), float(accuracy.mean())
    over_documents = mean * (1 - mean) / documents
    over_seeds = float(accuracy.var(ddof=1)) / seeds if seeds > 1 else 0.0
    variance = over_documents + over_seeds
    if variance == 0:
        return Interval(mean, mean, mean, seeds)
    freedom = variance**2 / (
        over_documents**2 / (documents - 1) + over_seeds**2 / max(seeds - 1, 1)
    )
    half = float(t.ppf(0.975, freedom)) * np.sqrt(variance)
    return Interval(mean, mean - half, mean + half, seeds)


def _means(frame: pd.DataFrame) -> list[Row]:
    theirs = pd.concat([paper.table1(), paper.table6(), paper.figure3()])
    names = [name for name in dict.fromkeys(theirs["quantity"]) if name in frame]
    summary = summarise(frame, paper.CELL, names)
    return _rows(summary.rename(columns={"mean": "here", "seeds": "runs"}), "mean")


def _medians(frame: pd.DataFrame) -> list[Row]:
    names = [name for name in dict.fromkeys(paper.figure2()["quantity"]) if name in frame]
    rows = []
    for cell, part in frame.groupby(SERIES, sort=False):
        codes = [
            pd.factorize(part["seed"])[0],
            pd.factorize(part["document"])[0],
            part.groupby(["projection", "lam"], dropna=False).ngroup().to_numpy(),
        ]
        for name in names:
            table = np.full([code.max() + 1 for code in codes], np.nan)
            table[tuple(codes)] = part[name].to_numpy(dtype=np.float64)
            runs = len(part[["projection", "lam", "seed"]].drop_duplicates())
            rows.append(_row(cell, SERIES, name, "median", median_interval(table)) | {"runs": runs})
    return rows


def _correlations(frame: pd.DataFrame) -> list[Row]:
    names = set(paper.table2()["quantity"]) & set(frame)
    found = correlate(frame[frame["lam"].notna()], SERIES, "lam", [*names], method="pearson")
    found = found.rename(columns={"correlation": "here", "points": "runs"})
    return _rows(found, "correlation with lam")


def _accuracies(ledger: pd.DataFrame) -> list[Row]:
    rows = []
    softmax = ledger[ledger["projection"] == "softmax"]
    sizes = {row["task"]: row["here"] for row in _sizes() if row["quantity"] == "test_documents"}
    for cell, part in softmax.groupby(SERIES, sort=False):
        documents = int(sizes.get(cell[0], part["observed"].max()))
        found = accuracy_interval(part["accuracy"].to_numpy(dtype=np.float64), documents)
        rows.append(_row(cell, SERIES, "accuracy", "value", found))
    return rows


def _sizes() -> list[Row]:
    rows = []
    for name, task in published.tasks().items():
        count = {split["split"]: float(split["documents"]) for split in task["splits"]}
        for split in ("train", "test"):
            exact = Interval(count[split], count[split], count[split], 0)
            rows.append(_row((name,), ["task"], f"{split}_documents", "value", exact))
    return rows


def _adversaries(frame: pd.DataFrame) -> list[Row]:
    trained = frame["adversary"].isin(TRAINED) & (frame["pressure"] == PRESSURE)
    frame = frame[trained & (frame["projection"] == "softmax")]
    by = [*SERIES, "adversary"]
    quantities = ["jsd", "accuracy", "accuracy_change"]
    found = summarise(frame.rename(columns={"correct": "accuracy"}), by, quantities)
    return _rows(found.rename(columns={"mean": "here", "seeds": "runs"}), "value")


def _rows(found: pd.DataFrame, statistic: str) -> list[Row]:
    return found.assign(statistic=statistic).to_dict("records")


def _row(
    cell: tuple[object, ...], by: Sequence[str], quantity: str, statistic: str, found: Interval
) -> Row:
    where = dict(zip(by, cell, strict=True))
    value = {"here": found.value, "low": found.low, "high": found.high, "runs": found.points}
    return {**where, "quantity": quantity, "statistic": statistic, **value}


def _verdict(row: Row) -> str:
    if np.isnan(row["here"]):
        return MISSING
    tolerance = TOLERANCE
    if "accuracy" in str(row["quantity"]):
        tolerance = ACCURACY_TOLERANCE
    elif "documents" in str(row["quantity"]):
        tolerance = SIZE_TOLERANCE * row["paper"]
    return compare(row["low"], row["high"], row["paper"], tolerance)


def _quantity(row: pd.Series) -> str:
    words = str(row["quantity"]).replace("_", " ")
    return words if row["statistic"] in ("mean", "value") else f"{row['statistic']}, {words}"


def _number(value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10 else signed(value, ".3f")
