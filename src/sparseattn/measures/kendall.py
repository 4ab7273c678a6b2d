"""Kendall's τ-b for thousands of documents at once, and the ceiling that ties put on it.

The discordant pairs are counted by sorting, as in Knight's algorithm, but level by level over all
documents together. Put the tokens in the order of x; the discordant pairs are the inversions of y
in that order. Two places differ first at some binary digit l: they lie in the same block of
2^(l+1) places, one in its left half, one in its right. Sort each block by (y, half): every
inversion between the halves moves one token of the right half down by one place, so the sum of the
right half's places falls short by exactly the number of inversions. One sort of small integers a
level, ⌈log₂ n⌉ levels, all counts exact.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Integer

from sparseattn.errors import UserError

Values = Float[np.ndarray, "documents tokens"]
Lengths = Integer[np.ndarray, " documents"]
PerDocument = Float[np.ndarray, " documents"]

# Tokens handled at once. Ten arrays of this many integers stay within the processor's cache;
# 2¹⁴ and 2¹⁸ measured slower.
BLOCK_TOKENS = 2**16


def kendall_tau(x: Values, y: Values, lengths: Lengths) -> PerDocument:
    """Kendall's τ-b between two rankings of the tokens of each document, in [−1, 1].

    NaN for fewer than two tokens, when all tokens of a document tie in either ranking, or when a
    NaN is among them. A `ValueError` when the shapes disagree or a length exceeds the width.

    Notes
    -----
    With N₀ = n(n−1)/2 pairs, of which T_x tie in x and T_y in y, C concordant and D discordant,

        τ_b = (C − D) / √((N₀ − T_x)(N₀ − T_y)).

    The same integers in the same formula as ``scipy.stats.kendalltau``, hence equal to it. Time
    O(n log² n) a document; memory below 150 bytes × max(``BLOCK_TOKENS``, n), whatever the number
    of documents.

    References
    ----------
    Kendall (1945), The treatment of ties in ranking problems, Biometrika 33(3).
    Knight (1966), A computer method for calculating Kendall's tau with ungrouped data, JASA 61.
    """
    check_padded(x, lengths)
    check_padded(y, lengths)
    tau = np.full(len(lengths), np.nan)
    for rows, width in _blocks(lengths):
        tau[rows] = _tau_block(x[rows, :width], y[rows, :width], lengths[rows].astype(np.int64))
    return tau


def tau_ceiling(x: Values, lengths: Lengths, against: Values | None = None) -> PerDocument:
    """Return the largest τ-b that the ties of a ranking allow, in (0, 1]; NaN where τ-b is none.

    The ties of x, for instance attention with exact zeros, and those of `against`; by default the
    other ranking has none.

    Notes
    -----
    Against an untied ranking every untied pair of x can be concordant, so

        max τ_b = (N₀ − T_x) / √((N₀ − T_x) N₀) = √(1 − T_x / N₀);

    with s distinct non-zeros and n − s zeros, N₀ − T_x = s(n−s) + s(s−1)/2. With ties on both
    sides the largest value is reached when both are put in the same order, for C − D does not
    fall as the pairing moves towards the comonotone one (the tests try all permutations).
    Nelsen (2006), An Introduction to Copulas, §5.1.1.
    """
    check_padded(x, lengths)
    # In rising order, with nothing (NaN) as padding.
    ordered = np.sort(np.where(inside(x, lengths), x, np.nan), axis=1)
    untied = np.broadcast_to(np.arange(float(x.shape[1])), x.shape)
    if against is not None:
        check_padded(against, lengths)
        untied = np.sort(np.where(inside(against, lengths), against, np.nan), axis=1)
    return kendall_tau(ordered, untied, lengths)


def check_padded(values: np.ndarray, lengths: Lengths) -> None:
    """Raise ``ValueError`` unless every length lies between 0 and the width of the array."""
    if values.ndim != 2 or len(values) != len(lengths):
        raise UserError(
            f"values of shape {values.shape} with {len(lengths)} lengths: give one row of tokens "
            "and one length for each document."
        )
    if len(lengths) and (lengths.min() < 0 or lengths.max() > values.shape[1]):
        raise UserError(
            f"lengths from {lengths.min()} to {lengths.max()}, but a row holds {values.shape[1]} "
            "tokens: count a document's tokens without the two markers."
        )


def inside(values: np.ndarray, lengths: Lengths) -> np.ndarray:
    """Return (N, n), true on the tokens and false on the padding."""
    return np.asarray(np.arange(values.shape[1]) < lengths[:, None])


def _blocks(lengths: Lengths) -> Iterator[tuple[np.ndarray, int]]:
    """Documents of similar length together, the longest first, ``BLOCK_TOKENS`` at a time."""
    longest_first = np.argsort(-lengths.astype(np.int64), kind="stable")
    start = 0
    while start < len(lengths) and (width := int(lengths[longest_first[start]])) >= 2:
        count = max(1, BLOCK_TOKENS // width)
        yield longest_first[start : start + count], width
        start += count


def _tau_block(x: np.ndarray, y: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    n = x.shape[1]
    # Keys below hold two numbers up to n and a bit.
    integer = np.dtype(np.int32 if n < 2**15 else np.int64)
    padded = n - lengths
    rank_x, ties_x = _rank(x, lengths, integer)
    rank_y, ties_y = _rank(y, lengths, integer)
    keys = rank_x * integer.type(n + 1) + rank_y
    keys.sort(axis=1)  # by x, and by y where x ties: such pairs are then no inversions
    ties_both = _tied_pairs(_group_starts(keys, integer)) - padded * (padded - 1) // 2
    discordant = _inversions(keys % integer.type(n + 1))

    pairs = lengths * (lengths - 1) // 2
    difference = pairs - ties_x - ties_y + ties_both - 2 * discordant  # C − D
    untied_x, untied_y = pairs - ties_x, pairs - ties_y
    broken = ((np.isnan(x) | np.isnan(y)) & inside(x, lengths)).any(axis=1)
    defined = (untied_x > 0) & (untied_y > 0) & ~broken
    tau = np.full(len(x), np.nan)
    tau[defined] = (difference / np.sqrt(untied_x.clip(1)) / np.sqrt(untied_y.clip(1)))[defined]
    return np.asarray(np.clip(tau, -1.0, 1.0))


def _rank(
    values: np.ndarray, lengths: np.ndarray, integer: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens lie below each one, n on the padding; and the number of tied pairs."""
    real = inside(values, lengths)
    # NaN sorts last and equals nothing, so padding never joins a group of ties.
    values = np.where(real, values, np.nan)
    order = np.argsort(values, axis=1)
    starts = _group_starts(np.take_along_axis(values, order, axis=1), integer)
    rank = np.empty_like(starts)
    np.put_along_axis(rank, order, starts, axis=1)
    rank[~real] = values.shape[1]
    return rank, _tied_pairs(starts)


def _group_starts(ordered: np.ndarray, integer: np.dtype) -> np.ndarray:
    """Where in its sorted row the group of equal values begins that each place belongs to."""
    places = np.arange(ordered.shape[1], dtype=integer)
    starts = np.zeros(ordered.shape, dtype=integer)
    np.multiply(ordered[:, 1:] != ordered[:, :-1], places[1:], out=starts[:, 1:])
    return np.asarray(np.maximum.accumulate(starts, axis=1, out=starts))


def _tied_pairs(starts: np.ndarray) -> np.ndarray:
    """Sum of places within groups: 0 + 1 + … + (t−1) = t(t−1)/2 pairs for a group of t."""
    n = starts.shape[1]
    return np.asarray(n * (n - 1) // 2 - starts.sum(axis=1, dtype=np.int64))


def _inversions(sequence: np.ndarray) -> np.ndarray:
    """Count, for each row, the pairs that stand in falling order; values from 0 to n."""
    n = sequence.shape[1]
    places = np.arange(n, dtype=sequence.dtype)
    doubled = sequence << 1
    count = np.zeros(len(sequence), dtype=np.int64)
    for level in range((n - 1).bit_length()):
        block, half = places >> (level + 1), (places >> level) & 1
        keys = doubled + (half + (block << (n.bit_length() + 1)))
        keys.sort(axis=1)
        keys &= 1  # is the token in this place from a right half?
        size = np.bincount(block)
        right = np.bincount(block, half).astype(np.int64)
        # Without an inversion, the right half's places are the last of its block.
        last = (np.cumsum(size) - right) * right + right * (right - 1) // 2
        count += last.sum() - np.einsum("dn,n->d", keys, places)
    return count
