"""Faithfulness: what a decision loses without the tokens ranked first, and with only these.

Everything comes from logits of texts with tokens removed (`attribution.removal`). A classifier that
never wavers scores low however its tokens are ranked, so an area says something only beside the
least and the most that any order reaches on the same document and classifier: raw areas may not be
compared across classifiers. DeYoung et al. (2020), ERASER; Edin et al. (2025), Normalized AOPC.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares q of a document's n tokens; of each the ⌈qn⌉ first in a ranking are taken."""
SAME = 1e-6
"""Limits no further apart are one: of probabilities from float32 logits the rest is rounding."""

Logits = Float[np.ndarray, "documents orders shares"]
Limits = Float[np.ndarray, "documents 2 2"]
PerDocument = Float[np.ndarray, " documents"]


class Curves(NamedTuple):
    """Logits of N documents under removal; NaN where a ranking is undefined or a text is empty.

    ``logit`` (N,) of the whole text; by explainer, (N, orders, shares): ``without`` the first
    tokens and with ``only`` them, an order for each way to break ties; ``limits`` (N, 2, 2): of
    comprehensiveness and sufficiency the least and the most that any order reaches, or None.
    """

    logit: PerDocument
    without: Mapping[str, Logits]
    only: Mapping[str, Logits]
    limits: Limits | None = None


def cuts(n: int) -> Int[np.ndarray, " shares"]:
    """Return ⌈qn⌉ for each of `SHARES`."""
    tenths = np.arange(1, len(SHARES) + 1)  # in whole numbers: .1 · 30 is more than 3
    return np.asarray(-(-n * tenths // 10))


def drop(
    logit: Float[np.ndarray, "..."], less: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Return p(ŷ | x) − p(ŷ | less of x), ŷ the decision on the whole text, from the logits."""
    side = np.where(logit > 0, 1.0, -1.0)
    return np.asarray(_sigmoid(side * logit) - _sigmoid(side * less))


def area(logit: PerDocument, less: Logits) -> PerDocument:
    """Return the mean `drop` over shares and orders.

    Of texts without the first tokens it is comprehensiveness (high is faithful); of the first
    tokens alone it is sufficiency (low is faithful).
    """
    return np.asarray(drop(logit[:, None, None], less).mean(axis=(1, 2)))


def flip_share(logit: PerDocument, without: Logits) -> PerDocument:
    """Return the smallest of `SHARES` whose removal flips the decision, 1 where none does.

    It is the mean over orders; NaN where the ranking is undefined.
    """
    flipped = (without > 0) != (logit > 0)[:, None, None]
    share = np.where(flipped, SHARES, 1.0).min(axis=2)
    return np.where(np.isnan(without).any(axis=(1, 2)), np.nan, share.mean(axis=1))


def normalised(value: PerDocument, worst: PerDocument, best: PerDocument) -> PerDocument:
    """Return where a value lies from the worst (0) to the best (1) order; NaN where they are one.

    Beyond both where the limits were searched for (`attribution.removal.limits`) and missed.
    """
    room = best - worst
    apart = np.abs(room) > SAME
    return np.where(apart, (value - worst) / np.where(apart, room, 1.0), np.nan)


def faithfulness(curves: Curves, kind: str = "deletion") -> dict[str, PerDocument]:
    """Return columns of one value a document, for one kind of removal.

    Parameters
    ----------
    curves
        Of documents under that kind.
    kind
        ``deletion``, which goes without saying, or another, which follows the measure's name.

    Returns
    -------
    dict
        For each explainer E: ``comprehensiveness_E`` and ``sufficiency_E``, 1 the best and 0 the
        worst of any order, and ``flip_E`` (`flip_share`). Then the limits, of areas:
        ``comprehensiveness_least``, ``…_most``, and so of sufficiency. Without limits the areas
        as they are, named ``raw_comprehensiveness_…`` and ``raw_sufficiency_…``. All are NaN
        where the ranking is undefined; the normalised ones also where no order matters, as of one
        token.
    """
    middle = "" if kind == "deletion" else f"_{kind}"
    names = [f"comprehensiveness{middle}", f"sufficiency{middle}"]
    limits, logit, columns = curves.limits, curves.logit, {}
    for explainer, without in curves.without.items():
        for which, less in enumerate((without, curves.only[explainer])):
            value = area(logit, less)
            if limits is None:
                columns[f"raw_{names[which]}_{explainer}"] = value
            else:
                least, most = limits[:, which].T
                ends = (most, least) if which else (least, most)  # little loss is sufficient
                columns[f"{names[which]}_{explainer}"] = normalised(value, *ends)
        columns[f"flip{middle}_{explainer}"] = flip_share(logit, without)
    if limits is not None:
        for which, name in enumerate(names):
            columns[f"{name}_least"], columns[f"{name}_most"] = limits[:, which].T
    return columns


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of NaN it warns, and gives NaN
        return np.asarray(np.exp(-np.logaddexp(0.0, -x.astype(np.float64))))
