"""What dispersion, agreement and influence would be if importance were noise."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Real
from scipy.special import digamma

from sparseattn.errors import UserError


def null_dispersion(lengths: Real[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Dispersion to expect from importances that are noise: i.i.d. |N(0, 1)|.

    Parameters
    ----------
    lengths
        Numbers of tokens n, any shape.

    Returns
    -------
    ndarray
        Expected H / log n, .945 at n = 179; NaN for n < 2.

    Notes
    -----
    With z = |N(0, 1)|, S = Σ z and T = Σ z log z, H = log S − T/S. To second order, with
    μ = E z = √(2/π), σ² = 1 − 2/π, m = E z log z and c = Cov(z log z, z),

        E H ≈ log nμ − m/μ + (c/μ² − mσ²/μ³ − σ²/2μ²) / n,

    where E z^s log z = E z^s (log 2 + ψ((s+1)/2)) / 2. Within .001 of simulation from n = 10 on,
    .004 from n = 5, .05 at n = 2 (tested).
    """
    mu, variance = np.sqrt(2 / np.pi), 1 - 2 / np.pi
    m = mu * (np.log(2) + digamma(1)) / 2
    c = (np.log(2) + digamma(1.5)) / 2 - m * mu
    n = np.maximum(lengths, 2).astype(np.float64)
    correction = c / mu**2 - m * variance / mu**3 - variance / (2 * mu**2)
    expected = (np.log(n * mu) - m / mu + correction / n) / np.log(n)
    return np.where(lengths >= 2, expected, np.nan)


def null_influence(
    lengths: Real[np.ndarray, " documents"], window: int = 2
) -> dict[str, Float[np.ndarray, " documents"]]:
    """Influence of near inputs to expect when the inputs are exchangeable.

    Parameters
    ----------
    lengths
        (N,) numbers of tokens n.
    window
        As for :func:`measures.per_document.influence_summary`.

    Returns
    -------
    dict
        (N,) under the names of the measures: ``influence_self_share`` and ``influence_top1``, 1/n;
        ``influence_self_rank``, (n + 1)/2; ``influence_window_share``, the mean share of the
        inputs at most ``window`` places away, Σ_|d|≤w max(n − |d|, 0) / n².
    """
    n = lengths.astype(np.float64)
    places = abs(np.arange(-window, window + 1))
    return {
        "influence_self_share": 1 / n,
        "influence_top1": 1 / n,
        "influence_self_rank": (n + 1) / 2,
        "influence_window_share": (n[:, None] - places).clip(0).sum(axis=1) / n**2,
    }


def null_tau_sd(n: int, ties: Iterable[int] = ()) -> float:
    """Spread of τ-b when one ranking is a random permutation without ties.

    Parameters
    ----------
    n
        Number of tokens.
    ties
        Sizes t of the groups of ties in the other ranking, for instance ``[n − s]`` for
        attention with s distinct non-zeros.

    Returns
    -------
    float
        Standard deviation over permutations; NaN where τ-b is undefined. The mean is 0.

    Notes
    -----
    Var(C − D) = (n(n−1)(2n+5) − Σ t(t−1)(2t+5)) / 18, and τ_b divides by √((N₀ − T) N₀).

    References
    ----------
    Kendall (1970), Rank Correlation Methods, ch. 4.
    """
    groups = np.array(list(ties), dtype=np.float64)
    if groups.sum() > n:
        raise UserError(f"groups of ties add up to {groups.sum():.0f} of only {n} tokens.")
    pairs = n * (n - 1) / 2
    untied = pairs - (groups * (groups - 1) / 2).sum()
    if untied <= 0:
        return np.nan
    variance = (n * (n - 1) * (2 * n + 5) - (groups * (groups - 1) * (2 * groups + 5)).sum()) / 18
    return float(np.sqrt(variance / (untied * pairs)))
