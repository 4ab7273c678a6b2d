"""Per-document numbers from per-token arrays: dispersion, agreement, ceilings, mass.

Everything is vectorised over documents held as padded (N, n) arrays with lengths (N,); entries
beyond a length are ignored, and NaN stands where a measure is undefined.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import entr
from scipy.stats import rankdata

from sparseattn.errors import UserError
from sparseattn.measures.kendall import (
    Lengths,
    PerDocument,
    Values,
    check_padded,
    inside,
    kendall_tau,
    tau_ceiling,
)

Selection = Bool[np.ndarray, "documents tokens"]

KINDS = ("gradient", "gradient_fixed", "loo", "loo_logit")
IMPORTANCES = tuple(f"{of}_{kind}" for of in ("inputs", "hidden") for kind in KINDS)
IMPORTANCES += ("inputs_product", "inputs_product_fixed")  # Jain and Wallace (2019)
INFLUENCES = (
    "influence_dispersion",
    "influence_self_share",
    "influence_self_rank",
    "influence_window_share",
)
# Importances compared with each other. Without ties, attention's agreements with the two add up to
# at most one more than theirs.
PAIRS = {
    "inputs_gradient_loo": ("inputs_gradient", "inputs_loo"),
    "inputs_gradient_gradient_fixed": ("inputs_gradient", "inputs_gradient_fixed"),
    "inputs_loo_loo_logit": ("inputs_loo", "inputs_loo_logit"),
    "hidden_gradient_loo": ("hidden_gradient", "hidden_loo"),
    "inputs_hidden_gradient": ("inputs_gradient", "hidden_gradient"),
    "inputs_hidden_loo": ("inputs_loo", "hidden_loo"),
}


def normalise(values: Values, lengths: Lengths) -> Values:
    """Divide each document's values by their sum.

    The shares (N, n) are float64, zero on the padding; a row of NaN where a document has no mass.
    Negative or infinite values raise a `ValueError`.
    """
    check_padded(values, lengths)
    shares = np.where(inside(values, lengths), values, 0).astype(np.float64)
    if (shares < 0).any() or np.isinf(shares).any():
        raise UserError(
            "negative or infinite values among the tokens: only non-negative, finite importances "
            "have shares; take absolute values or norms first."
        )
    # Divide by the largest first, so that values near the limits of float64 neither overflow
    # nor vanish in the sum.
    shares = _ratio(shares, shares.max(axis=1, keepdims=True, initial=0))
    return _ratio(shares, shares.sum(axis=1, keepdims=True))


def entropy(values: Values, lengths: Lengths) -> PerDocument:
    """Shannon entropy H = −Σ pᵢ log pᵢ of the normalised values, in nats; NaN without mass."""
    return np.asarray(entr(normalise(values, lengths)).sum(axis=1))


def dispersion(values: Values, lengths: Lengths) -> PerDocument:
    """Shannon entropy of the normalised values over its maximum, H / log n.

    From 0 (all on one token) to 1 (all equal); NaN for n < 2 or without mass. Compare with
    :func:`measures.nulls.null_dispersion`: importances drawn at random are close to 1 already.
    Meister et al. (2021), Is Sparse Attention more Interpretable?, §3.
    """
    share = entropy(values, lengths) / np.log(lengths.clip(2))
    # Rounding may carry a uniform row past 1 by one unit in the last place.
    return np.where(lengths >= 2, np.minimum(share, 1.0), np.nan)


def effective_tokens(values: Values, lengths: Lengths) -> PerDocument:
    """Effective number of tokens exp(H), from 1 to n: equal shares on so many have the same H."""
    return np.asarray(np.exp(entropy(values, lengths)))


def support_size(attention: Values, lengths: Lengths) -> PerDocument:
    """Return the number of tokens with attention above zero."""
    check_padded(attention, lengths)
    return np.asarray(_attended(attention, lengths).sum(axis=1), dtype=np.float64)


def attended_share(attention: Values, lengths: Lengths) -> PerDocument:
    """Return the share of a document's tokens that have attention above zero; NaN for n = 0."""
    size = support_size(attention, lengths)
    return _ratio(size, lengths)


def attended_auc(attention: Values, importance: Values, lengths: Lengths) -> PerDocument:
    """Return how well importance tells attended tokens from the rest: the area under the curve.

    The probability that an attended token is more important than an unattended one, a tie counting
    one half; NaN when all tokens are attended, or none. With s attended tokens of n and R the sum
    of their average ranks by importance (1 = smallest), the Mann–Whitney form is AUC = (R −
    s(s+1)/2) / (s(n−s)). Unlike τ-b it has no ceiling under the ties of sparse attention. Mann &
    Whitney (1947), Annals of Mathematical Statistics 18(1).
    """
    check_padded(attention, lengths)
    check_padded(importance, lengths)
    attended = _attended(attention, lengths)
    s = attended.sum(axis=1).astype(np.float64)
    pairs = np.where(_has_nan(importance, lengths), 0, s * (lengths - s))
    ranks = rankdata(_with_nan(importance, lengths), axis=1, nan_policy="omit")
    above = np.where(attended, ranks, 0).sum(axis=1) - s * (s + 1) / 2
    return _ratio(above, pairs)


def tau_attended(attention: Values, importance: Values, lengths: Lengths) -> PerDocument:
    """Return Kendall's τ-b of attention and importance among the attended tokens alone.

    NaN for fewer than two, or where either ranks them all alike. Neely, Schouten et al. (2021),
    Order in the Court, compare so.
    """
    check_padded(attention, lengths)
    check_padded(importance, lengths)
    attended = _attended(attention, lengths)
    first = np.argsort(~attended, axis=1, kind="stable")  # the attended, in their order
    weights, left = (np.take_along_axis(one, first, axis=1) for one in (attention, importance))
    return kendall_tau(weights, left, attended.sum(axis=1))


def mass_on(selected: Selection, importance: Values, lengths: Lengths) -> PerDocument:
    """Return the share of a document's importance that lies on the selected tokens.

    By chance it is the share of tokens selected; their quotient is the lift. NaN without mass.
    """
    # A product, not a choice, so that a row without mass (all NaN) gives NaN.
    return np.asarray((normalise(importance, lengths) * selected).sum(axis=1))


def attended_mass(attention: Values, importance: Values, lengths: Lengths) -> PerDocument:
    """Return the share of importance on tokens with attention above zero.

    Compare with :func:`attended_share`, what it is by chance.
    """
    return mass_on(_attended(attention, lengths), importance, lengths)


def precision_at_k(
    attention: Values, importance: Values, lengths: Lengths, k: Lengths | None = None
) -> PerDocument:
    """Share of the k most attended tokens that are among the k most important; NaN for k = 0.

    `k` (N,) is at most n, by default as many as have attention above zero; by chance it is k/n.
    Ties at the k-th place are broken at random, independently in the two rankings, and the
    expectation is returned: a token surely inside has probability 1, and m places left for t tied
    tokens give m/t each, so that precision = Σᵢ pᵢ qᵢ / k.
    """
    check_padded(attention, lengths)
    check_padded(importance, lengths)
    k = _attended(attention, lengths).sum(axis=1) if k is None else np.minimum(k, lengths)
    k = np.where(_has_nan(attention, lengths) | _has_nan(importance, lengths), 0, k)
    both = top_probability(attention, lengths, k) * top_probability(importance, lengths, k)
    return _ratio(both.sum(axis=1), k)


def rank_spans(values: Values, lengths: Lengths) -> tuple[Values, Values]:
    """Return the first and the last rank that each token shares with those tied with it.

    1 = highest; 0 on the padding and where the value is NaN.
    """
    if not values.size:
        return np.zeros(values.shape), np.zeros(values.shape)
    falling = np.where(inside(values, lengths), -values, np.nan)
    first = np.nan_to_num(rankdata(falling, axis=1, method="min", nan_policy="omit"))
    last = np.nan_to_num(rankdata(falling, axis=1, method="max", nan_policy="omit"))
    return first.astype(np.float64), last.astype(np.float64)


def influence_summary(
    influence: Float[np.ndarray, "tokens tokens"], window: int = 2
) -> dict[str, Float[np.ndarray, " tokens"]]:
    """Summarise what each hidden state owes to the inputs of one document.

    `influence` (n, n) is non-negative, row p of hidden state p. Returns, (n,) each, NaN where a row
    has no mass: ``influence_dispersion``, H / log n of the row; ``influence_self_share``, the share
    of the input at the same place; ``influence_self_rank``, that input's rank (1 = most
    influential, average under ties); ``influence_window_share``, the share of inputs at most
    `window` places away.
    """
    n = len(influence)
    lengths = np.full(n, n)
    shares = normalise(influence, lengths)
    place = np.arange(n)
    near = abs(place[:, None] - place) <= window
    ranks = rankdata(-shares, axis=1) if n else shares
    return {
        "influence_dispersion": dispersion(influence, lengths),
        "influence_self_share": shares[place, place],
        "influence_self_rank": np.where(np.isnan(shares[place, place]), np.nan, ranks.diagonal()),
        "influence_window_share": (shares * near).sum(axis=1),
    }


def mean_over_tokens(values: Values, lengths: Lengths) -> PerDocument:
    """Return the mean over a document's tokens, those with NaN left out; NaN if none is left."""
    check_padded(values, lengths)
    values = _with_nan(values, lengths)
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))


def measure(traces: Mapping[str, np.ndarray], lengths: Lengths) -> pd.DataFrame:
    """One row a document (index ``document`` = 0 … N−1), one float64 column a quantity.

    Parameters
    ----------
    traces
        (N, n) arrays under the names ``attention``, those of :data:`IMPORTANCES` and
        :data:`INFLUENCES`, and ``evidence`` (bool); (N,) arrays ``labels`` and ``logit``. Any may
        be absent, and its columns are then left out; other names are ignored.
    lengths
        (N,) tokens of each document.

    Returns
    -------
    DataFrame
        ``length``, ``label``, ``logit``, ``correct``;
        ``support``, ``support_share``, ``attention_dispersion``, ``attention_effective``;
        ``tau_ceiling`` (of attention's ties against an untied importance);
        for each importance I: ``dispersion_I``, ``effective_I``, ``tau_I`` (with attention),
        ``tau_relative_I`` (τ-b over the ceiling that the ties of both leave),
        ``auc_I``, ``mass_I`` (of and on the attended tokens) and ``precision_I`` (among the
        ⌈n/10⌉ first of each, a number that does not depend on how sparse attention is);
        ``tau_between_P`` for each pair P of :data:`PAIRS`;
        ``influence_…``, means over positions, and ``influence_top1``, how often the co-indexed
        input alone is the most influential;
        ``evidence_share`` (of tokens), ``attention_evidence_mass`` and ``evidence_mass_I``.
    """
    lengths = lengths.astype(np.int64)
    columns: dict[str, np.ndarray] = {"length": lengths}
    for trace, name in (("labels", "label"), ("logit", "logit")):
        if trace in traces:
            columns[name] = traces[trace]
    if "labels" in traces and "logit" in traces:
        columns["correct"] = (traces["logit"] > 0) == (traces["labels"] > 0.5)

    attention, evidence = traces.get("attention"), traces.get("evidence")
    if evidence is not None:
        columns["evidence_share"] = attended_share(1.0 * evidence, lengths)
    if attention is not None:
        columns["support"] = support_size(attention, lengths)
        columns["support_share"] = attended_share(attention, lengths)
        columns["attention_dispersion"] = dispersion(attention, lengths)
        columns["attention_effective"] = effective_tokens(attention, lengths)
        columns["tau_ceiling"] = tau_ceiling(attention, lengths)
        if evidence is not None:
            columns["attention_evidence_mass"] = mass_on(evidence, attention, lengths)

    importances = {name: traces[name] for name in IMPORTANCES if name in traces}
    tenth = -(-lengths // 10)
    for name, importance in importances.items():
        columns[f"dispersion_{name}"] = dispersion(importance, lengths)
        columns[f"effective_{name}"] = effective_tokens(importance, lengths)
        if attention is not None:
            tau = columns[f"tau_{name}"] = kendall_tau(attention, importance, lengths)
            columns[f"tau_relative_{name}"] = tau / tau_ceiling(attention, lengths, importance)
            columns[f"auc_{name}"] = attended_auc(attention, importance, lengths)
            columns[f"mass_{name}"] = attended_mass(attention, importance, lengths)
            columns[f"precision_{name}"] = precision_at_k(attention, importance, lengths, tenth)
        if evidence is not None:
            columns[f"evidence_mass_{name}"] = mass_on(evidence, importance, lengths)
    for pair, (x, y) in PAIRS.items():
        if x in importances and y in importances:
            columns[f"tau_between_{pair}"] = kendall_tau(importances[x], importances[y], lengths)

    for name in INFLUENCES:
        if name in traces:
            columns[name] = mean_over_tokens(traces[name], lengths)
    if "influence_self_rank" in traces:
        rank = traces["influence_self_rank"]
        top = np.where(np.isnan(rank), np.nan, rank == 1)
        columns["influence_top1"] = mean_over_tokens(top, lengths)
    index = pd.RangeIndex(len(lengths), name="document")
    return pd.DataFrame(columns, index=index).astype(np.float64)


def _attended(attention: Values, lengths: Lengths) -> np.ndarray:
    return np.asarray((attention > 0) & inside(attention, lengths))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, giving NaN where the whole is not above zero."""
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _has_nan(values: Values, lengths: Lengths) -> np.ndarray:
    return np.asarray((np.isnan(values) & inside(values, lengths)).any(axis=1))


def _with_nan(values: Values, lengths: Lengths) -> np.ndarray:
    return np.where(inside(values, lengths), values.astype(np.float64), np.nan)


def top_probability(values: Values, lengths: Lengths, k: np.ndarray) -> np.ndarray:
    """Probability of each token to be among the k highest when ties are broken at random."""
    first, last = rank_spans(values, lengths)
    left = (k[:, None] - first + 1) / (last - first + 1)
    return np.where(inside(values, lengths), left.clip(0, 1), 0)
