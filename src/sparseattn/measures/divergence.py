"""How far two attentions lie apart: the Jensen–Shannon divergence, its parts and its ceilings."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

CEILING = math.log(2)
"""The largest Jensen–Shannon divergence, in nats: of distributions that share no token."""


def jensen_shannon(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    r"""Jensen–Shannon divergence along the last axis, in nats: 0 where equal, ln 2 where disjoint.

    `p` and `q` are non-negative, each summing to 1 (or wholly zero).

    Notes
    -----
    .. math::
        \mathrm{JSD}(p, q) = \tfrac12 \sum_i p_i \log\frac{p_i}{m_i}
            + \tfrac12 \sum_i q_i \log\frac{q_i}{m_i}, \qquad m = \tfrac12 (p + q),

    with 0 log 0 = 0. Its slope ½ log(p_i/m_i) is minus infinity where p_i = 0 < q_i; there the
    slope returned is −½, of the terms that remain. Nothing is lost: a softmax weight is not zero,
    and a sparse projection holds those it has set to zero still (its Jacobian is zero there). Lin
    (1991), IEEE Transactions on Information Theory 37(1).
    """
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(
    p: Float[Tensor, "*batch n"], middle: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    # Replaced before the logarithm, not after it, so that no infinite slope is multiplied by zero;
    # numbers so small that their reciprocals overflow count as zero.
    tiny = torch.finfo(p.dtype).tiny
    inside = (p >= tiny) & (middle >= tiny)
    logs = torch.where(inside, p, 1.0).log() - torch.where(inside, middle, 1.0).log()
    return (p * logs).sum(dim=-1)


def disjoint_part(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    """Return the part of `jensen_shannon` from items that only one of the two weighs, in nats.

    An item with p_i > 0 = q_i adds ½ p_i ln 2, whatever else the distributions do.
    """
    alone = torch.where(q > 0, 0.0, p) + torch.where(p > 0, 0.0, q)
    return alone.sum(dim=-1) * CEILING / 2


def divergence_ceiling(
    q: Float[Tensor, "*batch n"], inside: Bool[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    """Return the most that any distribution on the items inside can diverge from q, in nats.

    `jensen_shannon` is convex, so it is largest where all weight lies on one item: the one that q
    weighs least. It is ln 2 where q has a zero, and less the shorter and more even q is.
    """
    least = q.masked_fill(~inside, torch.inf).argmin(dim=-1, keepdim=True)
    corner = torch.zeros_like(q).scatter_(-1, least, 1.0) * inside
    return jensen_shannon(corner, q)


def even_ceiling(lengths: Float[np.ndarray, " documents"]) -> Float[np.ndarray, " documents"]:
    """Return `divergence_ceiling` of uniform attention on so many tokens, in nats.

    All weight on one of n items, against 1/n on each: ½ [ln 2n/(n+1) + 1/n ln 2/(n+1) + (n−1)/n
    ln 2].
    """
    n = lengths.astype(np.float64)
    one = np.log(2 * n / (n + 1)) + np.log(2 / (n + 1)) / n
    return np.asarray((one + (n - 1) / n * CEILING) / 2)
