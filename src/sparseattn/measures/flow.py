"""Through what a replaced token's effect flows, and how much of it attention leaves out."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sparseattn.measures.kendall import Lengths, PerDocument, Values, check_padded, inside
from sparseattn.measures.per_document import attended_share, mass_on, normalise, top_probability

Parts = Mapping[str, Float[np.ndarray, "*draws documents tokens"]]


def flow(parts: Parts, attention: Values, lengths: Lengths) -> dict[str, PerDocument]:
    """Summarise, for each document, the effects of replacing its tokens.

    Parameters
    ----------
    parts
        Signed changes of the logit under the names of `attribution.paths.path_effects`. With
        several draws, stacked in front, the size of a change is the mean of its absolute values,
        so that draws of opposite sign do not cancel.
    attention
        Weights of the document as it is.
    lengths
        (N,) tokens of each document.

    Returns
    -------
    dict
        (N,) each, from 0 to 1, NaN where nothing has an effect (or no token is there).
        ``flow_itself``, ``flow_context``, ``flow_attention``: the share of each of the three in the
        sum of their sizes over all tokens; ``flow_attention_itself``: of attention's part, the
        share due to tokens' own scores rather than the others'.
        ``effect_unattended``: the share of all tokens' |Δf| that tokens of weight exactly zero
        have, and ``unattended_share`` of tokens, what it is by chance. ``effect_beyond_tenth`` and
        ``beyond_tenth_share``: the same of tokens outside the ⌈n/10⌉ most attended, ties at the
        last place broken at random, in expectation.
    """
    check_padded(attention, lengths)
    lengths = lengths.astype(np.int64)

    def size(changes: np.ndarray) -> np.ndarray:
        sizes = np.abs(changes.astype(np.float64)).reshape(-1, *attention.shape).mean(axis=0)
        return np.where(inside(attention, lengths), sizes, 0)

    def shares(*sizes: np.ndarray) -> np.ndarray:
        sums = np.stack([one.sum(axis=1) for one in sizes], axis=1)
        return normalise(sums, np.full(len(sums), len(sizes)))

    paths = shares(*(size(parts[name]) for name in ("itself", "context", "attention")))
    own_score = parts["attention_itself"]
    by_score = shares(size(own_score), size(parts["attention"] - own_score))
    effect = size(parts["total"])
    tenth = -(-lengths // 10)
    beyond = 1 - top_probability(attention, lengths, tenth)
    return {
        "flow_itself": paths[:, 0],
        "flow_context": paths[:, 1],
        "flow_attention": paths[:, 2],
        "flow_attention_itself": by_score[:, 0],
        "effect_unattended": mass_on(~(attention > 0), effect, lengths),
        "unattended_share": 1 - attended_share(attention, lengths),
        "effect_beyond_tenth": (normalise(effect, lengths) * beyond).sum(axis=1),
        "beyond_tenth_share": np.where(lengths > 0, 1 - tenth / lengths.clip(1), np.nan),
    }
