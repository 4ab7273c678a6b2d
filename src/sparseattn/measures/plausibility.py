"""Does an importance lie on the words that people marked? Overlap, its chance, people's ceiling.

All is vectorised over documents held as padded (N, n) arrays with lengths (N,); what lies beyond a
length is ignored. A mark is 0 or 1, or, of several people, the share of them who marked the word.

Ties are broken at random and the expectation is returned, so *chance* is the same quantity of an
importance that is equal everywhere: exactly what a random order gets on average, in documents of
any length. NaN where a document's marks are all equal (nobody marked a word, or all are marked: no
importance is then better than another), and where a NaN is among its marks or importances.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from sparseattn.errors import UserError
from sparseattn.measures.kendall import Lengths, PerDocument, Values, check_padded, inside
from sparseattn.measures.per_document import normalise, rank_spans, top_probability

People = Sequence[Bool[np.ndarray, "_ _"]]


def auprc(marks: Values, importance: Values, lengths: Lengths) -> PerDocument:
    r"""Area under the curve of precision over recall: average precision, Σₖ P(k) m₍ₖ₎ / Σ m.

    P(k) is the mean mark of the k most important words, m₍ₖ₎ the mark of the k-th. Without ties and
    with marks of 0 and 1 it is ``sklearn.metrics.average_precision_score``; under ties that takes a
    group of them as one step, and this the mean over their orders.

    Notes
    -----
    In a group of g tied words that b words (of marks p in all) precede, let r and q be the sums of
    its marks and of their squares. The word at its j-th place has, over all orders, the mark r/g on
    average, its square q/g, and its product with each of the j − 1 before it (r² − q) / (g(g − 1)).
    """
    defined = _defined(marks, importance, lengths)
    m = np.where(inside(marks, lengths), marks, 0).astype(np.float64)
    known = np.where(defined[:, None], importance, 0)
    first, last = rank_spans(known, lengths)
    order = np.argsort(np.where(inside(m, lengths), first, np.inf), axis=1, kind="stable")
    m, first, last = (np.take_along_axis(x, order, axis=1) for x in (m, first, last))
    before, end = (first - 1).clip(0).astype(np.int64), last.astype(np.int64)  # b and b + g
    r, p = _between(m, before, end), _between(m, 0 * before, before)
    q = _between(m**2, before, end)
    g, place = end - before, np.arange(m.shape[1]) + 1
    pairs = (r**2 - q) / np.maximum(g * (g - 1), 1)
    product = (q + p * r) / np.maximum(g, 1) + (place - before - 1) * pairs
    area = np.where(inside(m, lengths), product / place, 0).sum(axis=1)
    return np.where(defined, area / np.where(defined, m.sum(axis=1), 1), np.nan)


def token_f1(marks: Values, importance: Values, lengths: Lengths) -> PerDocument:
    """F1 of the k most important words, for k = Σ m rounded: as many as people marked, at least 1.

    2 Σ m over the k words / (k + Σ m); with marks of 0 and 1 it is the precision, too.
    """
    defined = _defined(marks, importance, lengths)
    m = np.where(inside(marks, lengths), marks, 0).astype(np.float64)
    total = m.sum(axis=1)
    k = np.maximum(np.floor(total + 0.5), 1)
    chosen = top_probability(importance, lengths, k)
    return np.where(defined, 2 * (m * chosen).sum(axis=1) / (k + total), np.nan)


def mass(marks: Values, importance: Values, lengths: Lengths) -> PerDocument:
    """Return the share of importance on marked words, Σ aᵢ mᵢ / Σ aᵢ; NaN, too, without any.

    The importance must be non-negative.
    """
    defined = _defined(marks, importance, lengths)
    whole = np.where(defined[:, None] & inside(marks, lengths), importance, 0)
    on_marked = normalise(whole, lengths) * np.where(inside(marks, lengths), marks, 0)
    return np.where(defined, on_marked.sum(axis=1), np.nan)


MEASURES = {"auprc": auprc, "token_f1": token_f1, "mass": mass}


def plausibility(marks: Values, importance: Values, lengths: Lengths) -> pd.DataFrame:
    """Return ``auprc``, ``token_f1``, ``mass``, and ``…_chance`` of each: a row a document.

    Chance is NaN where the measure is.
    """
    even = np.ones(marks.shape)
    columns = {}
    for name, measure in MEASURES.items():
        found = measure(marks, importance, lengths)
        columns[name] = found
        columns[f"{name}_chance"] = np.where(np.isnan(found), np.nan, measure(marks, even, lengths))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(lengths), name="document"))


def against_people(people: People, importance: Values, lengths: Lengths) -> pd.DataFrame:
    """Return `plausibility` against one person at a time, averaged over a document's people.

    `people` (persons, n) for each document, whether each person marked each of its n words. Persons
    who marked no word, or all, are left out.
    """
    marks, of = _rows(people, importance.shape[1], lengths)
    return _mean(plausibility(marks, importance[of], lengths[of]), of, len(lengths))


def ceiling(people: People, lengths: Lengths) -> pd.DataFrame:
    """Return what people reach among themselves: the others' mean marks, against each one's own.

    `plausibility` of the mean marks of all others, taken as an importance, against the marks of the
    person left out, averaged over a document's persons. To be compared with `against_people`. NaN
    with fewer than two persons.
    """
    marks, of = _rows(people, max((one.shape[1] for one in people), default=0), lengths)
    together = np.zeros((len(lengths), marks.shape[1]))
    np.add.at(together, of, marks)
    others = np.bincount(of, minlength=len(lengths))[of] - 1
    mean = np.full(marks.shape, np.nan)
    np.divide(together[of] - marks, others[:, None], out=mean, where=others[:, None] > 0)
    return _mean(plausibility(marks, mean, lengths[of]), of, len(lengths))


def _rows(people: People, width: int, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
    """Return a padded row of marks for each person, and whose document it is."""
    if len(people) != len(lengths) or any(
        one.shape[1] != length for one, length in zip(people, lengths, strict=True)
    ):
        raise UserError("people's marks must have one column for each word of their document.")
    of = np.repeat(np.arange(len(people)), [len(one) for one in people])
    marks = np.zeros((len(of), width))
    start = 0
    for one in people:
        marks[start : start + len(one), : one.shape[1]] = one
        start += len(one)
    return marks, of


def _mean(rows: pd.DataFrame, of: np.ndarray, documents: int) -> pd.DataFrame:
    means = rows.groupby(of).mean()  # leaves NaN out
    return means.reindex(pd.RangeIndex(documents, name="document"))


def _defined(marks: Values, importance: Values, lengths: Lengths) -> Bool[np.ndarray, " documents"]:
    check_padded(marks, lengths)
    check_padded(importance, lengths)
    real = inside(marks, lengths)
    if ((marks < 0) | (marks > 1))[real].any():
        raise UserError("marks outside [0, 1]: give shares of the people who marked a word.")
    lowest = np.where(real, marks, np.inf).min(axis=1, initial=np.inf)
    highest = np.where(real, marks, -np.inf).max(axis=1, initial=-np.inf)
    missing = ((np.isnan(marks) | np.isnan(importance)) & real).any(axis=1)
    return np.asarray((lowest < highest) & ~missing)


def _between(values: Values, start: np.ndarray, stop: np.ndarray) -> Values:
    """Return, for each place of each row, the sum of the row's values in [start, stop)."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(
        np.take_along_axis(sums, stop, axis=1) - np.take_along_axis(sums, start, axis=1)
    )
