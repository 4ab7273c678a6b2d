"""What dispersion, agreement and influence would be if importance were noise."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Real
from scipy.special import digamma, gammaln

from sparseattn.errors import UserError

GRADIENTS = 300
"""Entries of a gradient by an embedding, whose length is its importance."""


def null_dispersion(
    lengths: Real[np.ndarray, "..."], dimensions: int = 1
) -> Float[np.ndarray, "..."]:
    """Dispersion H / log n to expect from importances that are noise: lengths of Gaussian vectors.

    Of n tokens each, any shape; NaN for n < 2. `dimensions` d are the entries of the vector whose
    length an importance is: `GRADIENTS` for a gradient, 1 for a difference such as leave-one-out,
    |N(0, 1)|. At n = 179 it is .945 for d = 1 and .9998 for d = 300.

    With z ~ χ_d, S = Σ z and T = Σ z log z, H = log S − T/S. To second order, with
    μ = E z = √2 Γ((d+1)/2) / Γ(d/2), σ² = d − μ², m = E z log z and c = Cov(z log z, z),

        E H ≈ log nμ − m/μ + (c/μ² − mσ²/μ³ − σ²/2μ²) / n,

    where E z^s log z = E z^s (log 2 + ψ((s+d)/2)) / 2. Within .001 of simulation from n = 10 on,
    .004 from n = 5, .05 at n = 2 (tested).
    """
    d = dimensions
    mu = np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))
    variance = d - mu**2
    m = mu * (np.log(2) + digamma((d + 1) / 2)) / 2
    c = d * (np.log(2) + digamma(d / 2 + 1)) / 2 - m * mu
    n = np.maximum(lengths, 2).astype(np.float64)
    correction = c / mu**2 - m * variance / mu**3 - variance / (2 * mu**2)
    expected = (np.log(n * mu) - m / mu + correction / n) / np.log(n)
    return np.where(lengths >= 2, expected, np.nan)


def null_influence(
    lengths: Real[np.ndarray, " documents"], window: int = 2
) -> dict[str, Float[np.ndarray, " documents"]]:
    """Influence of near inputs to expect when the inputs are exchangeable, by the measures' names.

    (N,) each, of n tokens: ``influence_self_share`` and ``influence_top1``, 1/n;
    ``influence_self_rank``, (n + 1)/2; ``influence_window_share``, the mean share of the inputs at
    most `window` w places away, Σ_|d|≤w max(n − |d|, 0) / n², as for
    :func:`measures.per_document.influence_summary`.
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
    """Spread (standard deviation) of τ-b of n tokens, one ranking a random permutation.

    `ties` are the sizes t of the groups of ties in the other ranking, for instance ``[n − s]`` for
    attention with s distinct non-zeros; the permutation has none. The mean is 0; NaN where τ-b is
    undefined, a `UserError` for more ties than tokens. Kendall (1970), Rank Correlation Methods,
    ch. 4:

        Var(C − D) = (n(n−1)(2n+5) − Σ t(t−1)(2t+5)) / 18, and τ_b divides by √((N₀ − T) N₀).

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
