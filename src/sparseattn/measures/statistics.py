"""Means, intervals and tests over documents and seeds, with the two sources kept apart.

A cell (one task, encoder, alignment, projection) is a table of seeds × documents: every seed
observes the same documents. A value is cell mean + seed + document + rest,

    x_sd = μ + σ_S ε_s + σ_D ε_d + σ_E ε_sd .

The paper's ± is the spread over documents; whether training again would give the same number is
the spread over seeds. Closed forms are used throughout: they cost no time on a page and, with the
three seeds or so that one has, hold their level where resampling seeds does not (with 3 seeds that
spread as much as documents do, 95 % intervals by resampling both cover about 76 %, these 93 %:
simulated in the tests).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Real
from scipy.stats import rankdata, t

from sparseattn.errors import UserError, nearest

LEVEL = 0.95
"""The probability that an interval covers the true value."""

Comparison = Literal["same", "different", "undecided"]


class Interval(NamedTuple):
    """A value, its confidence interval (NaN where there is none) and the number of points."""

    value: float
    low: float
    high: float
    points: int


class Trend(NamedTuple):
    """A correlation, its interval over seeds, and how many runs and seeds are behind it."""

    value: float
    low: float
    high: float
    points: int
    seeds: int


def mean_interval(values: Float[np.ndarray, " documents"]) -> Interval:
    """Mean over N documents (NaN left out and not counted), with x̄ ± t_{N−1} s/√N.

    The bounds are NaN for fewer than two documents. Measures are bounded and documents many (≥
    300), so the mean is close to normal; the BCa bootstrap gives the same interval to a few per
    cent of its width (tested), at a thousand times the cost.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    count = len(known)
    mean = float(known.mean()) if count else np.nan
    if count < 2:
        return Interval(mean, np.nan, np.nan, count)
    half = float(t.ppf(0.5 + LEVEL / 2, count - 1) * known.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


def estimate(values: Float[np.ndarray, "seeds documents *quantities"]) -> dict[str, np.ndarray]:
    """Mean of a cell with its interval over documents and seeds, and each source by itself.

    Of (S, D, …) numbers, one for each seed and document, arrays of shape (…): ``mean``; ``low``,
    ``high``, the interval for new documents *and* new seeds (with one seed: for new documents
    only); ``se``, the standard error behind it; ``sd_documents``, within a seed; ``sd_seeds``, of
    the seeds' means (NaN with one seed); ``documents``, ``seeds``, how many are behind it;
    ``undefined``, the share of seeds × documents without a value. A seed for which nothing is
    defined is left out; so is a document that is undefined (NaN) for any remaining seed. With the
    mean squares MS_S, MS_D, MS_E of a two-way table without replication,

        Var(x̄) = (MS_D + max(MS_S − MS_E, 0)) / (S D),

    with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2(6)), or D − 1 when the
    seeds add nothing. Hillis (2007), Statistics in Medicine 26(3), has many readers × many cases:
    the same table.
    """
    known = ~np.isnan(values)
    seed_used = known.any(axis=1, keepdims=True)
    document_used = (known | ~seed_used).all(axis=0, keepdims=True) & seed_used.any(axis=0)
    used = seed_used & document_used
    seeds, documents = seed_used.sum(axis=(0, 1)), document_used.sum(axis=(0, 1))

    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.where(used, values, 0.0).astype(np.float64)
        mean = kept.sum(axis=(0, 1)) / (seeds * documents)
        of_seed = np.where(seed_used, kept.sum(axis=1, keepdims=True) / documents - mean, 0)
        of_document = np.where(document_used, kept.sum(axis=0, keepdims=True) / seeds - mean, 0)
        within = np.where(used, kept - mean - of_seed, 0)
        rest = np.where(used, within - of_document, 0)

        ms_seed = documents * (of_seed**2).sum(axis=(0, 1)) / (seeds - 1)
        ms_document = seeds * (of_document**2).sum(axis=(0, 1)) / (documents - 1)
        ms_rest = (rest**2).sum(axis=(0, 1)) / ((seeds - 1) * (documents - 1))
        added = np.where(seeds > 1, np.maximum(ms_seed - ms_rest, 0), 0)
        variance = (ms_document + added) / (seeds * documents)
        freedom = np.where(
            added > 0,
            (ms_document + added) ** 2
            / (ms_seed**2 / (seeds - 1) + ms_document**2 / (documents - 1)),
            documents - 1,
        )
        sd_seeds = np.sqrt(ms_seed / documents)
        half = t.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(variance)
        spread = np.sqrt((within**2).sum(axis=(0, 1)) / (seeds * (documents - 1)))
    columns = {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "se": np.sqrt(variance),
        "sd_documents": np.where(documents > 1, spread, np.nan),
        "sd_seeds": np.where(seeds > 1, sd_seeds, np.nan),
        "documents": documents,
        "seeds": seeds,
        "undefined": 1 - known.mean(axis=(0, 1)) if known.size else np.full(mean.shape, np.nan),
    }
    return {name: np.asarray(column) for name, column in columns.items()}


def linearised(value: pd.Series, weight: pd.Series, by: pd.Series) -> pd.Series:
    """Return numbers whose mean is `value`'s mean weighted by `weight`, within each group of `by`.

    With R = Σ w v / Σ w they are R + (v − R) w / w̄: they vary as R does, to first order (the delta
    method; Cochran 1977, Sampling Techniques, ch. 6). What has no weight is R, whatever its value;
    without a value, but with a weight, it is NaN, and R is of the others.
    """
    weight = weight.where(value.notna() | (weight == 0))
    share = weight / weight.groupby(by).transform("mean")
    mean = (value.fillna(0.0) * share).groupby(by).transform("mean")
    return mean + (value.fillna(mean) - mean) * share


def summarise(
    frame: pd.DataFrame, by: Sequence[str], quantities: Sequence[str] | None = None
) -> pd.DataFrame:
    """Summarise measurements cell by cell: the columns of `by`, ``quantity``, those of `estimate`.

    `frame` has one row for each cell, ``seed`` and ``document`` (columns or index levels of that
    name), and one column a quantity; `by` names a cell, where a missing value (λ of a softmax) is a
    value of its own. `quantities` are by default all numeric columns that are not in `by`. A
    `UserError` when a column is missing, or a cell holds two rows of one seed and document.
    """
    frame = _with_columns(frame, [*by, "seed", "document", *(quantities or [])])
    names = _quantities(frame, by) if quantities is None else list(quantities)
    rows = [
        pd.DataFrame(
            {
                **dict(zip(by, cell, strict=True)),
                "quantity": names,
                **estimate(_crossed(part, names, by)),
            }
        )
        for cell, part in _cells(frame, by)
    ]
    if rows:
        return pd.concat(rows, ignore_index=True)
    columns = [*by, "quantity", *estimate(np.zeros((1, 1, 0)))]
    return pd.DataFrame(columns=columns)


def differences(
    frame: pd.DataFrame,
    over: str,
    between: tuple[object, object],
    by: Sequence[str],
    quantities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Differences a − b `between` two values of the column `over`, paired by document and seed.

    The rest is as for `summarise`; `over` must not be in `by`. Pairing removes what makes a
    document easy under both, which is most of the spread over documents. A `UserError`, too, where
    one of the two has no rows.
    """
    keys = [*by, "seed", "document"]
    frame = _with_columns(frame, [*keys, over, *(quantities or [])])
    names = _quantities(frame, [*by, over]) if quantities is None else list(quantities)
    sides = [frame.loc[frame[over] == value, keys + names] for value in between]
    for value, side in zip(between, sides, strict=True):
        if side.empty:
            known = ", ".join(sorted({str(v) for v in frame[over]}))
            raise UserError(f"No rows with {over} = {value!r}; there are: {known}.")
        if side.duplicated(keys).any():
            raise UserError(
                f"Several rows with {over} = {value!r} for one seed and document of a cell: add "
                f"the column that tells them apart to by={list(by)}."
            )
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", " other"))
    for name in names:
        pairs[name] = pairs[name] - pairs[f"{name} other"]
    return summarise(pairs[keys + names], by, names)


def trend(
    x: Float[np.ndarray, " runs"],
    y: Float[np.ndarray, " runs"],
    seed: Real[np.ndarray, " runs"],
    method: Literal["rank", "pearson"] = "rank",
) -> Trend:
    """Correlation of a setting x with a quantity y within seeds, with its interval over seeds.

    Of n runs each; a pair with a NaN is left out. Runs of one seed are not independent: they start
    from the same weights, and read the same documents. A seed whose runs have one setting has no
    say. `method` is ``rank`` (with the rank of the setting) or ``pearson`` (with the setting
    itself). NaN for a constant series; NaN bounds for fewer than two seeds.

    With both series centred within seeds, and the sums S and P over the runs of seed s,

        S_s = Σ x²,  P_s = Σ xy,  b_s = P_s / S_s · √(Σ S / Σ y²),  w_s = S_s / Σ S,

    the correlation is r = Σ w b, and its interval Student's over K seeds,

        r ± t_{K−1} √(K/(K−1) Σ w² (b − r)²), cut at ±1.

    A slope is a sum of y, so with normal seeds and one grid the test of no trend is exact, however
    dependent the runs of a seed are (simulated in the tests). Bland & Altman (1995), BMJ 310, 446
    (correlation within subjects); Bell & McCaffrey (2002), Survey Methodology 28(2) (Student's t
    over few clusters).
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known].astype(np.float64), y[known].astype(np.float64)
    codes = pd.factorize(seed[known])[0]
    settings = pd.Series(x).groupby(codes).transform("nunique").to_numpy()
    x, y = x[settings > 1], y[settings > 1]
    codes = pd.factorize(codes[settings > 1])[0]
    count = int(codes.max(initial=-1)) + 1
    if method == "rank":
        x = rankdata(x)
    runs = np.bincount(codes)
    within_x, within_y = (v - (np.bincount(codes, v) / runs)[codes] for v in (x, y))
    of_seed = np.bincount(codes, within_x**2)
    total = (within_y**2).sum()
    if not count or np.ptp(y) == 0 or total == 0:
        return Trend(np.nan, np.nan, np.nan, len(x), count)
    slopes = np.bincount(codes, within_x * within_y) / of_seed * np.sqrt(of_seed.sum() / total)
    weights = of_seed / of_seed.sum()
    r = float((weights * slopes).sum())
    if count < 2:
        return Trend(r, np.nan, np.nan, len(x), count)
    variance = (weights**2 * (slopes - r) ** 2).sum() * count / (count - 1)
    half = float(t.ppf(0.5 + LEVEL / 2, count - 1) * np.sqrt(variance))
    return Trend(r, max(r - half, -1.0), min(r + half, 1.0), len(x), count)


def correlate(
    frame: pd.DataFrame,
    by: Sequence[str],
    x: str,
    quantities: Sequence[str] | None = None,
    method: Literal["rank", "pearson"] = "rank",
) -> pd.DataFrame:
    """Correlation, within each cell, of a setting with a quantity's mean over documents.

    The columns of `by`, ``quantity``, ``correlation``, ``low``, ``high``, ``points`` (runs) and
    ``seeds``. `x` is the setting, for instance ``lam``: one point is one run, a value of `x` and a
    seed; rows without a value of it are left out. The rest is as for `summarise` and `trend`.
    """
    frame = _with_columns(frame, [*by, x, "seed", *(quantities or [])])
    names = _quantities(frame, [*by, x]) if quantities is None else list(quantities)
    runs = frame.groupby([*by, x, "seed"], sort=False, dropna=False, observed=True)[names]
    means = runs.mean().reset_index().dropna(subset=[x])
    rows = [
        {
            **dict(zip(by, cell, strict=True)),
            "quantity": name,
            **trend(
                part[x].to_numpy(np.float64),
                part[name].to_numpy(np.float64),
                part["seed"].to_numpy(),
                method,
            )._asdict(),
        }
        for cell, part in _cells(means, by)
        for name in names
    ]
    columns = [*by, "quantity", "value", "low", "high", "points", "seeds"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"value": "correlation"})


def compare(low: float, high: float, reference: float, tolerance: float = 0.05) -> Comparison:
    """Whether an interval agrees with a published number, the `reference`.

    ``same`` when the whole interval lies within `reference` ± `tolerance` (the largest difference
    that would not matter, rounding and reading-off included), ``different`` when all of it lies
    outside, else ``undecided`` (also without an interval): absence of a significant difference
    alone never counts as sameness. Schuirmann (1987), two one-sided tests, J. Pharmacokinetics and
    Biopharmaceutics 15.
    """
    if reference - tolerance <= low and high <= reference + tolerance:
        return "same"
    if low > reference + tolerance or high < reference - tolerance:
        return "different"
    return "undecided"


def _with_columns(frame: pd.DataFrame, needed: Iterable[str]) -> pd.DataFrame:
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    frame = frame.reset_index(level=levels) if levels else frame
    for name in needed:
        if name not in frame.columns:
            known = [str(column) for column in frame.columns]
            raise UserError(f"No column {name!r} in the measurements.{nearest(name, known)}")
    return frame


def _quantities(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    numeric = frame.select_dtypes("number").columns
    return [name for name in numeric if name not in {*by, "seed", "document"}]


def _cells(
    frame: pd.DataFrame, by: Sequence[str]
) -> Iterable[tuple[tuple[object, ...], pd.DataFrame]]:
    if not by:
        return [((), frame)] if len(frame) else []
    return list(frame.groupby(list(by), sort=False, dropna=False, observed=True))


def _crossed(part: pd.DataFrame, names: Sequence[str], by: Sequence[str]) -> np.ndarray:
    """Return the (seeds, documents, quantities) table of one cell, NaN where a pair is missing."""
    seed, seeds = pd.factorize(part["seed"])
    document, documents = pd.factorize(part["document"])
    if len(np.unique(seed * len(documents) + document)) < len(part):
        raise UserError(
            f"Several rows for one seed and document of a cell: by={list(by)} lacks the column "
            "that tells them apart (projection? lam?)."
        )
    table = np.full((len(seeds), len(documents), len(names)), np.nan)
    table[seed, document] = part[list(names)].to_numpy(dtype=np.float64)
    return table
