r"""Where an effect flows: through the replaced token's own state, the others', or attention.

The logit is a weighted mean of values, f = Σ α_j v_j + b, with v_j = w·h_j and α = φ(a). Replacing
token i by another word changes it by three routes: the value at its own place, the values elsewhere
(the encoder carries the word there), and the weights. Arrays are as in `importance`: (N, n_max)
over the tokens, in the classifier's dtype (float32), zeros beyond each document's n.
"""

import hashlib

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sparseattn.attribution.kernels import Halves, Ids, PerToken, chunks, halves, memory_bound
from sparseattn.attribution.lstm import bilstm_replaced
from sparseattn.attribution.pretrained import seen_replaced
from sparseattn.attribution.transformer import transformer_replaced
from sparseattn.errors import UserError
from sparseattn.models.classifier import BiLSTM, Classifier, NoEncoder
from sparseattn.models.pretrained import MiniLM

PATHS = ("itself", "context", "attention")


def replacements(ids: Ids, draws: int = 1) -> list[list[Int[Tensor, " _"]]]:
    """Return `draws` times, for each document, another document's word for each of its n tokens.

    Documents are BEGIN, n tokens, END, at least two different texts among them (else a
    `UserError`); more `draws` begin with the same ones. For each token and draw another text is
    drawn, all alike, and of it a place, all alike among those with a different word; a text that
    holds this word only is passed over for the next, and the word stays where no text holds
    another. Repeated texts count once. The draw is by the smallest hash of (document's content,
    place, draw) with the other text's content: equal texts draw alike whatever their order, and an
    Nth text changes one draw in N (rendezvous hashing, Thaler and Ravishankar 1998).
    """
    words = [document[1:-1].cpu().numpy() for document in ids]
    keys = np.array([_key(one) for one in words], dtype=np.uint64)
    known, first = np.unique(keys, return_index=True)
    texts = {int(key): words[d] for key, d in zip(known, first, strict=True) if len(words[d])}
    drawn = {}
    for key in known:
        own = words[int(first[known == key][0])]
        others = {other: text for other, text in texts.items() if other != key}
        if len(own) and not others:
            raise UserError(
                "Replacing tokens by those of another text needs at least two different texts "
                f"that are not empty; got {len(texts)}. Give more documents."
            )
        steps = np.arange(1, draws * len(own) + 1, dtype=np.uint64) * _STEP
        seeds = _scrambled(key + steps).reshape(draws, len(own))
        pool = np.array(list(others), dtype=np.uint64)
        drawn[key] = [
            [_word(*one, pool, list(others.values())) for one in zip(some, own, strict=True)]
            for some in seeds
        ]
    return [
        [torch.tensor(drawn[key][draw], dtype=torch.int64) for key in keys] for draw in range(draws)
    ]


_STEP = np.uint64(0x9E3779B97F4A7C15)  # an odd number, 2⁶⁴ over the golden ratio


def _key(words: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(words.astype("<i8").tobytes()).digest()[:8], "little")


def _scrambled(x: np.ndarray) -> np.ndarray:
    """Return a permutation of 64-bit numbers without visible order (SplitMix64, Steele 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _word(seed: np.uint64, word: np.int64, pool: np.ndarray, texts: list[np.ndarray]) -> int:
    """Draw a word of another text, see `replacements`; `pool` are the hashes of the `texts`."""
    hashes = _scrambled(seed ^ pool)
    nearest = int(hashes.argmin())
    if (texts[nearest] == word).all():
        ranked = np.argsort(hashes).tolist()
        nearest = next((d for d in ranked if (texts[d] != word).any()), nearest)
    others = texts[nearest][texts[nearest] != word]
    return int(others[int(seed) % len(others)] if len(others) else word)


def path_effects(
    classifier: Classifier, ids: Ids, replaced: Ids, memory: int | None = None
) -> dict[str, PerToken]:
    r"""Return the change Δf_i of the logit when token i is replaced, and its parts, signed.

    Parameters
    ----------
    classifier
        In evaluation mode.
    ids
        N documents as BEGIN, n tokens, END.
    replaced
        Of each document the n words that its tokens are replaced by, one at a time.
    memory
        Bytes that a chunk of work may take, by default fit to the device.

    Returns
    -------
    dict
        (N, n_max): ``total`` Δf_i, and what adds up to it, ``itself``, ``context`` and
        ``attention``; ``attention_itself``, what of attention's part comes from the token's own
        score, the rest being due to the others' scores. All are exactly 0 where the word stays.

    Notes
    -----
    With bars for the mean of before and after, the product rule leaves no remainder:

    .. math::
        \Delta f_i = \underbrace{\bar\alpha_i\,\Delta v_i}_{\text{itself}}
            + \underbrace{\textstyle\sum_{j\ne i}\bar\alpha_j\,\Delta v_j}_{\text{context}}
            + \underbrace{\textstyle\sum_j \Delta\alpha_j\,\bar v_j}_{\text{attention}}

    Each part is the mean of two interventions: to let only this one thing (h_i under fixed
    weights; the other states under fixed weights; the weights over fixed states) change in the text
    as it is, and to undo only its change in the changed text. The first alone differs from the part
    by half of what weights and values change together, such as ½ Δα_i Δv_i. The token's own score
    is likewise changed before and after the others'.

    Only scores and values are kept of the states. With no encoder all others stay as they are, and
    their part is exactly 0.
    """
    device, dtype = classifier.device, classifier.embedding.weight.dtype
    bound = memory_bound(memory, device)
    longest = max((len(document) - 2 for document in ids), default=0)
    names = ("total", *PATHS, "attention_itself")
    result = {name: torch.zeros(len(ids), longest, dtype=dtype).numpy() for name in names}
    divide = isinstance(classifier.encoder, BiLSTM)
    with torch.no_grad(), halves(device, divide) as both:
        for (row,) in chunks(ids, lambda _: bound, bound):  # one at a time
            document, others = ids[row].to(device), replaced[row].to(device)
            if len(others) != len(document) - 2:
                raise UserError(
                    f"Document {row} has {len(document) - 2} tokens and {len(others)} replacements;"
                    " expected one for each token, without markers: see 'replacements'."
                )
            scores, values = _variants(classifier, document, others, bound, both)
            changed = others != document[1:-1]
            for name, part in _parts(classifier, scores, values).items():
                result[name][row, : len(others)] = (part * changed).cpu().numpy()
    return result


def _variants(
    classifier: Classifier, ids: Tensor, replaced: Tensor, memory: int, both: Halves
) -> tuple[Tensor, Tensor]:
    """Return scores and values (1 + n, n): of the document, and with each token replaced."""
    if isinstance(classifier.encoder, BiLSTM):
        return bilstm_replaced(classifier, ids, replaced, both)
    if isinstance(classifier.encoder, MiniLM):
        return seen_replaced(classifier, ids, replaced, memory)
    if not isinstance(classifier.encoder, NoEncoder):
        return transformer_replaced(classifier, ids, replaced, memory)
    own = torch.eye(len(replaced) + 1, dtype=torch.bool, device=ids.device)[:, 1:]

    def seen(words: Tensor) -> tuple[Tensor, Tensor]:
        hidden = classifier.embedding(words)
        return classifier.alignment(hidden), hidden @ classifier.decoder.weight[0]

    old, new = seen(ids[1:-1]), seen(replaced)
    scores, values = (torch.where(own, two, one) for one, two in zip(old, new, strict=True))
    return scores, values


def _parts(classifier: Classifier, scores: Tensor, values: Tensor) -> dict[str, Tensor]:
    """Split the changes of the logit, (n,) each; see `path_effects`."""
    own = torch.eye(len(values) - 1, dtype=torch.bool, device=values.device)
    everywhere = torch.ones_like(own)

    def weights_of(some: Tensor) -> Tensor:
        weights: Tensor = classifier.projection(some, everywhere)
        return weights.double()  # small differences of sums are what is wanted

    before, after = scores[:1].expand_as(own), scores[1:]
    alpha, changed = weights_of(before), weights_of(after)
    values = values.double()
    mean, step = (values[1:] + values[:1]) / 2, values[1:] - values[:1]
    by_values = (alpha + changed) / 2 * step
    itself = by_values.diagonal()
    owned, rest = torch.where(own, after, before), torch.where(own, before, after)
    by_own_score = ((weights_of(owned) - alpha) + (changed - weights_of(rest))) / 2
    return {
        "total": (changed * values[1:]).sum(dim=1) - (alpha * values[:1]).sum(dim=1),
        "itself": itself,
        "context": by_values.masked_fill(own, 0).sum(dim=1),
        "attention": ((changed - alpha) * mean).sum(dim=1),
        "attention_itself": (by_own_score * mean).sum(dim=1),
    }
