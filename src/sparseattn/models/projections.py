"""From scores to attention: maps from real vectors onto the probability simplex.

Each map solves, over the simplex, a problem of the form "stay close to the scores, but be even".
They differ in the regulariser, and so in whether the solution can hold exact zeros.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from entmax import entmax15, entmax_bisect, sparsemax
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from torch import Tensor, nn

from sparseattn.errors import UserError, among
from sparseattn.measures.kendall import kendall_tau
from sparseattn.wording import ALPHAS, PROJECTIONS


def project(
    scores: Float[Tensor, "*batch n"],
    mask: Bool[Tensor, "*batch n"],
    projection: str,
    lam: float | None = None,
    alpha: float | Float[Tensor, ""] | None = None,
) -> Float[Tensor, "*batch n"]:
    r"""Map scores onto the simplex over the unmasked positions.

    `scores` are alignment scores a, any real numbers; what stands off the mask, which is True where
    attention may fall, is ignored. `projection` is ``softmax``, ``sparsemax``, ``sparsegen`` or
    ``entmax``; `lam` λ of sparsegen (`wording.Lam`), `alpha` α of entmax (`wording.Alpha`; a tensor
    is differentiated through). The weights, of the shape of `scores`, are not negative: exactly 0
    off the mask, summing to 1 over it (a row masked throughout is all zeros, one with a score that
    is no number is all NaN). A `UserError` for an unknown projection, λ or α beyond their limits,
    or one that is missing.

    .. math::
        \mathrm{softmax}(a) &= \arg\min_{p\in\Delta} -p^\top a + \textstyle\sum_i p_i\log p_i\\
        \mathrm{sparsegen}(a;\lambda) &= \arg\min_{p\in\Delta} \|p-a\|_2^2-\lambda\|p\|_2^2
            = \mathrm{sparsemax}\!\left(\tfrac{a}{1-\lambda}\right)\\
        \alpha\text{-entmax}(a) &= \arg\min_{p\in\Delta} -p^\top a
            + \tfrac{1}{\alpha(\alpha-1)}\textstyle\sum_i (p_i^\alpha - p_i)

    The identity for sparsegen: the objective is :math:`(1-\lambda)\|p - a/(1-\lambda)\|^2` plus
    what does not depend on p. Martins & Astudillo (2016); Laha et al. (2018); Peters et al. (2019).
    """
    empty = ~mask.any(dim=-1, keepdim=True)
    # A wholly masked row has no solution; zeros are solved in its place, then emptied.
    masked = scores.masked_fill(~mask, -torch.inf).masked_fill(empty, 0.0)
    # Of a score that is no number, as in training gone astray, entmax's functions would fail.
    astray = ~(masked < torch.inf).all(dim=-1, keepdim=True)
    masked = masked.masked_fill(astray, 0.0)
    if projection == "softmax":
        weights = torch.softmax(masked, dim=-1)
    elif projection == "sparsemax":
        weights = sparsemax(masked, dim=-1)
    elif projection == "sparsegen":
        if lam is None or not lam < 1:
            raise UserError(f"sparsegen needs λ below 1 (parameter 'lam'); got {lam}.")
        weights = sparsemax(masked / (1 - lam), dim=-1)
    elif projection == "entmax":
        weights = _entmax(masked, alpha)
    else:
        raise UserError(f"Unknown projection '{projection}'.{among(projection, PROJECTIONS)}")
    # Multiplying also gives the masked positions' scores a gradient of exactly zero.
    return (weights * (mask & ~empty)).masked_fill(astray, torch.nan)


def _entmax(
    scores: Float[Tensor, "*batch n"], alpha: float | Float[Tensor, ""] | None
) -> Float[Tensor, "*batch n"]:
    if alpha is None or not ALPHAS[0] <= alpha <= ALPHAS[1]:
        raise UserError(f"entmax needs α from 1 to 3 (parameter 'alpha'); got {alpha}.")
    if isinstance(alpha, Tensor):
        return entmax_bisect(scores, alpha, dim=-1)
    # The closed forms are exact and faster; bisection is undefined at α = 1.
    closed = {1.0: torch.softmax, 1.5: entmax15, 2.0: sparsemax}
    if float(alpha) in closed:
        return closed[float(alpha)](scores, dim=-1)
    return entmax_bisect(scores, float(alpha), dim=-1)


class Projection(nn.Module):
    """A projection with its sparsity parameter fixed, or learned (α of entmax only).

    ``alpha="learned"`` makes α = 1 + sigmoid(a) a trained parameter in (1, 2), starting at 1.5
    (Correia, Niculae & Martins, 2019).
    """

    def __init__(
        self, projection: str, lam: float | None = None, alpha: float | str | None = None
    ) -> None:
        super().__init__()
        self.projection, self.lam = projection, lam
        self._alpha: float | None = None
        self.raw_alpha: nn.Parameter | None = None
        if alpha == "learned":
            self.raw_alpha = nn.Parameter(torch.zeros(()))
        elif isinstance(alpha, str):
            raise UserError(f"alpha is a number of at least 1, or 'learned'; got '{alpha}'.")
        else:
            self._alpha = alpha

    @property
    def alpha(self) -> float | Tensor | None:
        """The α in force: a number, a tensor when learned, None when there is none."""
        return self._alpha if self.raw_alpha is None else 1 + torch.sigmoid(self.raw_alpha)

    def forward(
        self, scores: Float[Tensor, "*batch n"], mask: Bool[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the attention weights; see `project`."""
        return project(scores, mask, self.projection, self.lam, self.alpha)


def solved(
    scores: Sequence[float], lams: Sequence[float] = (), alphas: Sequence[float] = ()
) -> pd.DataFrame:
    """Return the weights of 2 to 20 scores under softmax, sparsegen and α-entmax.

    A row each projection, parameter and score: ``index`` (from 0), ``projection``, ``parameter``
    (λ or α; 0 for softmax), ``weight``, ``score``; and of the whole vector the number of
    ``nonzero`` weights, the ``largest``, and Kendall's ``tau`` with the scores. A UserError for
    another number of scores, or a parameter that `project` refuses.
    """
    if not 2 <= len(scores) <= 20:
        raise UserError(f"Projections are shown of 2 to 20 scores; got {len(scores)} scores.")
    vector = torch.tensor(list(scores), dtype=torch.float64)
    mask = torch.ones(len(scores), dtype=torch.bool)
    parts = []
    for projection, parameter in (
        ("softmax", 0.0),
        *(("sparsegen", lam) for lam in lams),
        *(("entmax", alpha) for alpha in alphas),
    ):
        weights = project(vector, mask, projection, parameter, parameter).numpy()
        tau = kendall_tau(weights[None], vector[None].numpy(), np.array([len(scores)]))
        constant = {"projection": projection, "parameter": parameter, "tau": float(tau[0])}
        counted = {"nonzero": int((weights > 0).sum()), "largest": float(weights.max())}
        part = pd.DataFrame({"index": range(len(scores)), "weight": weights, "score": scores})
        parts.append(part.assign(**constant, **counted))
    return pd.concat(parts, ignore_index=True)


def scaled(
    scores: Sequence[float], lams: Sequence[float], factors: Sequence[float]
) -> pd.DataFrame:
    """Return how many weights sparsegen leaves non-zero when all scores are multiplied.

    A row each λ and factor: ``lam``, ``scale`` (``scores × 2``), ``nonzero``.
    """
    parts = [
        solved([factor * score for score in scores], lams).assign(scale=f"scores × {factor:g}")
        for factor in factors
    ]
    rows = pd.concat(parts).rename(columns={"parameter": "lam"})
    rows = rows[(rows["projection"] == "sparsegen") & (rows["index"] == 0)]
    return rows.sort_values("lam", kind="stable")


def both_ways(scores: Sequence[float], lams: Sequence[float]) -> pd.DataFrame:
    """Solve sparsegen as `project` does, and as defined, by an optimiser that knows no sparsemax.

    A row each λ: ``lam``, ``temperature`` 1 − λ, the number of ``nonzero`` weights, the
    ``largest``, and the largest ``difference`` of the two solutions.
    """
    rows = solved(scores, lams).rename(columns={"parameter": "lam"})
    found = rows.query("projection == 'sparsegen' and index == 0").drop(columns=["index", "tau"])
    away = [
        rows.loc[(rows["projection"] == "sparsegen") & (rows["lam"] == lam), "weight"].to_numpy()
        - _as_defined(np.array(scores), lam)
        for lam in found["lam"]
    ]
    return found.assign(
        temperature=1 - found["lam"], difference=[np.abs(one).max() for one in away]
    )


def _as_defined(scores: Float[np.ndarray, " n"], lam: float) -> Float[np.ndarray, " n"]:
    return np.asarray(
        minimize(
            lambda p: ((p - scores) ** 2).sum() - lam * (p**2).sum(),
            x0=np.full(len(scores), 1 / len(scores)),
            jac=lambda p: 2 * (p - scores) - 2 * lam * p,
            bounds=[(0, 1)] * len(scores),
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 1000},
        ).x
    )
