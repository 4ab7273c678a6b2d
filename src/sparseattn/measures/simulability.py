"""Simulability: can a simple student tell the classifier's decision from an explanation?"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_matrix

from sparseattn.measures.kendall import Lengths, Values, check_padded, inside

Words = Sequence[Int[np.ndarray, " _"]]
Chosen = Bool[np.ndarray, "documents tokens"]


def most_important(importance: Values, lengths: Lengths, k: Lengths, ties: Values) -> Chosen:
    """Return which k tokens of each document are the most important.

    `k` (N,) is cut to the document's length; among equal importances those with the larger `ties`
    come first. A document whose importance is NaN has none chosen.
    """
    check_padded(importance, lengths)
    real = inside(importance, lengths)
    known = np.where(real, importance, -np.inf)
    order = np.lexsort((-np.where(real, ties, -np.inf), -known), axis=1)
    place = np.argsort(order, axis=1)
    defined = ~(np.isnan(importance) & real).any(axis=1)
    return np.asarray(real & (place < np.minimum(k, lengths)[:, None]) & defined[:, None])


def simulated(
    words: Words, chosen: Chosen, decisions: Bool[np.ndarray, " documents"],
    asked: Words, chosen_there: Bool[np.ndarray, "asked others"],
) -> Bool[np.ndarray, " asked"]:  # fmt: skip
    """Return what a student says of the documents it is `asked` about: the classifier's decision.

    It is taught with the word ids of documents, `words`, of which it sees the `chosen`, and the
    classifier's `decisions`; `asked` and `chosen_there` are the same of the others. It is a
    logistic regression (L2, C = 10) on which words it sees, in no order; if the classifier decided
    alike on all that it was taught, so does the student. Treviso & Martins (2020), The Explanation
    Game; Pruthi et al. (2022), Evaluating Explanations.
    """
    from sklearn.linear_model import LogisticRegression

    if decisions.all() or not decisions.any():
        return np.full(len(asked), bool(decisions.all()))
    width = 1 + max((int(one.max()) for one in (*words, *asked) if len(one)), default=0)
    student = LogisticRegression(C=10.0, max_iter=1000)
    student.fit(_seen(words, chosen, width), decisions)
    return np.asarray(student.predict(_seen(asked, chosen_there, width)), dtype=bool)


def _seen(words: Words, chosen: Bool[np.ndarray, "_ _"], width: int) -> csr_matrix:
    picked = [np.unique(one[row[: len(one)]]) for one, row in zip(words, chosen, strict=True)]
    counts = [len(one) for one in picked]
    rows = np.repeat(np.arange(len(picked)), counts)
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *picked])
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(picked), width))
