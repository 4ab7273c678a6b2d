"""From effects, one a cell, to one word: the same rule for every claim, and for both its sides.

A cell is a classifier (encoder and alignment) on a task. Its effect is positive where it speaks for
the claim. What is too small to matter is stated for each claim; so "no effect" can be found, and is
not what is left when nothing is certain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import t
from statsmodels.stats.meta_analysis import combine_effects

Stance = Literal["for", "against", "negligible", "unclear", "one seed"]
STANCES: tuple[Stance, ...] = ("for", "against", "negligible", "unclear", "one seed")
"""What one cell may say of a claim."""
Word = Literal[
    "holds", "holds on average", "not reversed", "mixed", "negligible", "does not hold",
    "reversed on average", "reversed", "too few data", "not measured here",
]  # fmt: skip
"""What may become of a claim over cells."""
Bound = Literal["not for", "not against"]
"""What an unclear mean may still exclude: an effect that matters, on one side."""
Cells: TypeAlias = pd.DataFrame | Mapping[str, Any]
"""Effects, by columns: ``value``, its interval ``low`` to ``high``, ``se`` and ``stance``."""
_KNOWN = 0.01
"""Standard errors below this share of the smallest effect are taken for it, lest one cell rule."""


@dataclass(frozen=True)
class Mean:
    """A random-effects mean over cells."""

    value: float  # NaN without a cell of several seeds
    low: float  # of the 95 % interval; none of two cells, which hardly say how far cells differ
    high: float
    predicted_low: float  # where the effect of one more cell would lie; NaN with fewer than three
    predicted_high: float
    spread: float  # τ, the standard deviation of the effects between cells


def stance(value: float, low: float, high: float, smallest: float, single: bool = False) -> Stance:
    """Return what an effect with an interval says of a claim, `smallest` the least that matters.

    ``negligible`` where the whole interval lies within ± `smallest`; ``for`` or ``against`` where
    it lies on one side of zero, and the effect itself is one that matters; else ``unclear``. Of a
    `single` training no interval says what another would give: ``one seed``.
    """
    if single:
        return "one seed"
    if -smallest <= low and high <= smallest:
        return "negligible"
    if low > 0 and value >= smallest:
        return "for"
    return "against" if high < 0 and value <= -smallest else "unclear"


def mean_over(cells: Cells, smallest: float) -> Mean:
    """Return the mean effect over cells of several seeds; `smallest` is the least that matters.

    Notes
    -----
    Effects θ_c ~ N(μ, τ²), estimates x_c ~ N(θ_c, s_c²), τ² by Paule and Mandel. The interval of μ
    is Hartung and Knapp's, on t_{k−1}, no narrower than with a scale of 1; that of a further cell
    μ ± t_{k−2} √(τ² + se²). A single cell keeps its own interval.

    References
    ----------
    IntHout, Ioannidis & Borm (2014), BMC Medical Research Methodology 14:25. Röver, Knapp & Friede
    (2015), BMC Medical Research Methodology 15:99. Higgins, Thompson & Spiegelhalter (2009), JRSS A
    172(1).
    """
    known = [one != "one seed" for one in cells["stance"]]
    names = "value", "low", "high", "se"
    values, low, high, errors = (np.asarray(cells[one], dtype=float)[known] for one in names)
    if not len(values):
        return Mean(*[np.nan] * 6)
    if len(values) == 1:
        return Mean(float(values[0]), float(low[0]), float(high[0]), np.nan, np.nan, np.nan)
    errors = errors.clip(_KNOWN * smallest)
    with np.errstate(divide="ignore"):  # of its I², which is not used, where all effects are equal
        found = combine_effects(values, errors**2)  # unless told otherwise, by Paule and Mandel
    value, degrees = float(found.mean_effect_re), len(values) - 1
    error = float(np.sqrt(max(found.var_hksj_re, found.var_eff_w_re)))
    spread = float(np.sqrt(max(found.tau2, 0)))
    half = reach = np.nan
    if degrees > 1:
        half = float(t.ppf(0.975, degrees)) * error
        reach = float(t.ppf(0.975, degrees - 1)) * float(np.hypot(spread, error))
    return Mean(value, value - half, value + half, value - reach, value + reach, spread)


def reading(value: float, low: float, high: float, smallest: float) -> Stance | Bound:
    """Return the `stance` of a mean, or the side to which, though unclear, it surely is not."""
    found = stance(value, low, high, smallest)
    if found != "unclear":
        return found
    if high <= smallest:
        return "not for"
    return "not against" if low >= -smallest else "unclear"


def word(counts: Mapping[str, int], mean: Stance | Bound) -> Word:
    """Return what becomes of a claim, given how many cells say each of `STANCES`, and their mean.

    With f cells for, a against, and n that were judged, having several seeds:

    - ``not measured here`` without a cell; ``too few data`` where most have one seed;
    - ``mixed`` where both f and a are at least a quarter of n;
    - ``holds`` where f is more than half of n and a is 0, ``reversed`` the other way round;
    - else what the mean says: ``holds on average``, ``reversed on average``, ``negligible``;
    - where that is unclear, ``mixed`` with cells on both sides, ``negligible`` where most cells
      are and none is on a side;
    - ``does not hold`` where the mean excludes an effect for it and f is 0, ``not reversed`` the
      other way round; else ``too few data``.
    """
    pro, contra, none, unclear, single = (counts[name] for name in STANCES)
    judged = pro + contra + none + unclear
    if not judged + single:
        return "not measured here"
    if single > judged:
        return "too few data"
    if 4 * min(pro, contra) >= judged:
        return "mixed"
    if not contra and 2 * pro > judged:
        return "holds"
    if not pro and 2 * contra > judged:
        return "reversed"
    of_mean: dict[str, Word] = {
        "for": "holds on average", "against": "reversed on average", "negligible": "negligible",
    }  # fmt: skip
    if mean in of_mean:
        return of_mean[mean]
    if pro and contra:
        return "mixed"
    if not (pro or contra) and 2 * none > judged:
        return "negligible"
    if mean == "not for" and not pro:
        return "does not hold"
    return "not reversed" if mean == "not against" and not contra else "too few data"


def judge(cells: Cells, smallest: float) -> dict[str, Any]:
    """Judge cells together; both arguments as for `mean_over`.

    Returns ``verdict``, a `Word`; ``counts``, in words; the fields of `Mean`; and of each of
    `STANCES` the number of cells.
    """
    stances = list(cells["stance"])
    numbers: dict[str, int] = {name: stances.count(name) for name in STANCES}
    mean = mean_over(cells, smallest)
    found = word(numbers, reading(mean.value, mean.low, mean.high, smallest))
    return {"verdict": found, "counts": counted(numbers), **vars(mean), **numbers}


def counted(counts: Mapping[str, int]) -> str:
    """Return counts by `STANCES` in words: ``6 for, 1 against, 5 unclear of 12``; empty of none."""
    if not (total := sum(counts[name] for name in STANCES)):
        return ""
    told = [f"{counts[name]} {name}" for name in ("for", "against")]
    told += [f"{counts[name]} {name}" for name in ("negligible", "unclear") if counts[name]]
    if counts["one seed"]:
        told.append(f"{counts['one seed']} with one seed")
    return f"{', '.join(told)} of {total}"
