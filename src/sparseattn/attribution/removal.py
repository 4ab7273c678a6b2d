"""A document's logit with some of its tokens removed: along rankings, and at best and at worst.

A document is BEGIN, n tokens, END. A removed token is deleted and the text closes up
(``deletion``), or `UNKNOWN` stands in its place (``unknown``), or a token of another document
(``other``). `measures.faithfulness` makes numbers of it.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.kernels import Ids, at_once, check_choice, memory_bound, passes
from sparseattn.attribution.lstm import bilstm_texts
from sparseattn.data.words import BEGIN, END, UNKNOWN
from sparseattn.errors import UserError
from sparseattn.measures.faithfulness import SHARES, Curves, cuts, drop
from sparseattn.models.classifier import BiLSTM, Classifier, NoEncoder

KINDS = ("deletion", "unknown", "other")
RANDOM, ORDERS = "random", 10
"""The explainer that knows nothing, and how many orders stand for it."""
EXACT = 8
"""Up to so many tokens the limits are exact."""
WIDTH = 3
"""Nested sets that a search for limits follows."""
LONG = 40
"""Beyond so many tokens a search takes a tenth of them at a step."""

Sets = Bool[np.ndarray, "sets tokens"]


class Removals:
    """The logits of one document under one kind of removal; each distinct text is computed once.

    Texts of one length go through the classifier together, so there is no padding, and no other
    document has a say in the rounding: equal texts have equal logits, to the bit.
    The classifier is in evaluation mode; `others` (n,), of ``other`` alone, are the tokens to stand
    in (`stand_ins`), `memory` the bytes that a chunk may take.
    """

    def __init__(
        self,
        classifier: Classifier,
        document: Int[Tensor, " _"],
        by: str = "deletion",
        others: Int[np.ndarray, " n"] | None = None,
        memory: int | None = None,
    ) -> None:
        check_choice("by", by, KINDS)
        self.classifier, self.by = classifier, by
        self.tokens: np.ndarray = document[1:-1].cpu().numpy()
        shape = None if others is None else others.shape
        if shape != (self.tokens.shape if by == "other" else None):
            raise UserError(
                f"removal by '{by}' of {len(self.tokens)} tokens, with replacements of shape "
                f"{shape}: 'other' needs one token for each, and no other kind has any."
            )
        self.others = np.full_like(self.tokens, UNKNOWN) if others is None else others
        self.memory = memory_bound(memory, classifier.device)
        self.ordered = not isinstance(classifier.encoder, NoEncoder)
        self._known: dict[bytes, np.float32] = {
            b"": classifier.decoder.bias.detach().cpu().numpy()[0]
        }

    def logits(self, keep: Sets) -> Float[np.ndarray, " sets"]:
        """Return (S,) float32 logits of the document with only the tokens kept, those of each row.

        Of a text without tokens the logit is the decoder's bias.
        """
        if self.by == "deletion":
            texts = [self.tokens[row] for row in keep]
        else:
            texts = list(np.where(keep, self.tokens, self.others))
        if not self.ordered:  # nor does the order of its tokens tell a text from another
            texts = [np.sort(text) for text in texts]
        names = [text.tobytes() for text in texts]
        new = {
            name: text for name, text in zip(names, texts, strict=True) if name not in self._known
        }
        for length in sorted({len(text) for text in new.values()}):
            alike = {name: text for name, text in new.items() if len(text) == length}
            found = self._computed(np.stack(list(alike.values())))
            self._known.update(zip(alike, found, strict=True))
        return np.array([self._known[name] for name in names], dtype=np.float32)

    @cached_property
    def whole(self) -> Float[np.ndarray, " 1"]:
        """The logit of the whole text."""
        return self.logits(np.ones((1, len(self.tokens)), dtype=bool))

    def drops(self, keep: Sets) -> Float[np.ndarray, " sets"]:
        """Return what the probability of the decision loses; see `measures.faithfulness.drop`."""
        return drop(self.whole, self.logits(keep))

    @torch.no_grad()
    def _computed(self, texts: Int[np.ndarray, "texts length"]) -> Float[np.ndarray, " texts"]:
        classifier = self.classifier
        marked = np.pad(texts, ((0, 0), (1, 1)), constant_values=((0, 0), (BEGIN, END)))
        ids = torch.from_numpy(marked).to(classifier.device)
        if isinstance(classifier.encoder, BiLSTM):
            parts = torch.split(ids, at_once(classifier, ids.shape[1], self.memory))
            logits = [bilstm_texts(classifier, some) for some in parts]
        else:
            logits = [some.logit for some in passes(classifier, ids, self.memory)]
        return torch.cat(logits).cpu().numpy()


def stand_ins(
    document: Int[Tensor, " _"], pool: Int[np.ndarray, " tokens"]
) -> Int[np.ndarray, " n"]:
    """Return n tokens drawn from the `pool`, those of other documents one after the other.

    The draw is seeded by the document's content.
    """
    return generator(document, "replacements").choice(pool, len(document) - 2)


def generator(document: Int[Tensor, " _"], purpose: str) -> np.random.Generator:
    """Return a random generator that depends on a document's tokens, and on what it is for."""
    content = document.cpu().numpy().astype("<i8").tobytes() + purpose.encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest()[:8], "little"))


def rankings(
    importance: Float[np.ndarray, " n"], orders: Int[np.ndarray, "orders n"]
) -> Int[np.ndarray, "orders n"]:
    """Return the tokens' places, most important first, ties as each random order has them.

    Equal importances so are as good as chance, and without ties all rankings are one.
    """
    return np.stack([order[np.argsort(-importance[order], kind="stable")] for order in orders])


def removal_curves(
    removals: Removals, importances: Mapping[str, Float[np.ndarray, " n"]]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the logits without, and with only, the ⌈qn⌉ tokens that each explainer ranks first.

    Of the `importances` (n,) of each explainer the largest come first; NaN among them makes its
    logits NaN. Two dictionaries by explainer, and `RANDOM`: (`ORDERS`, shares) each, a row for each
    way to break ties at random, a column for each of `measures.faithfulness.SHARES`.
    """
    n = len(removals.tokens)
    document = torch.from_numpy(np.concatenate([[BEGIN], removals.tokens, [END]]))
    draw = generator(document, RANDOM)
    orders = np.stack([draw.permutation(n) for _ in range(ORDERS)])
    sizes = cuts(n)
    nothing = np.full((ORDERS, len(sizes)), np.nan, dtype=np.float32)
    every = {**importances, RANDOM: np.zeros(n)}
    defined = [name for name, values in every.items() if n and not np.isnan(values).any()]
    if not defined:
        return dict.fromkeys(every, nothing), dict.fromkeys(every, nothing)
    place = np.stack([np.argsort(rankings(every[name], orders), axis=1) for name in defined])
    first = (place[:, :, None] < sizes[:, None]).reshape(-1, n)
    logits = removals.logits(np.concatenate([~first, first]))
    shaped = logits.reshape(2, len(defined), *nothing.shape)
    without, only = (
        dict.fromkeys(every, nothing) | dict(zip(defined, one, strict=True)) for one in shaped
    )
    return without, only


def limits(removals: Removals) -> Float[np.ndarray, "2 2"]:
    """Return the least and the most comprehensiveness, and sufficiency, that an order can reach.

    Row 0 is of the tokens' removal, row 1 of keeping them alone; NaN without tokens. An area
    depends on the first tokens' nested sets S₁ ⊂ S₂ … alone, of ⌈qn⌉ tokens each, and is a sum over
    them. Up to `EXACT` tokens it is solved over all subsets, each set's best being its own part and
    the best of those with one token less. Beyond, a beam of `WIDTH` nested sets grows by a token a
    step; beyond `LONG` tokens a single one grows from share to share, by the tokens whose single
    effects on the present text are the largest. Where most tokens have no attention a search may
    see no slope; so it is widened by the random orders. Such limits are reached, but bound from
    inside: an order may do better.
    """
    n = len(removals.tokens)
    if n == 0:
        return np.full((2, 2), np.nan)
    if n <= EXACT:
        return np.array(_exact(removals, n)).reshape(2, 2)
    found = np.array(_beam(removals, n) if n <= LONG else _blocks(removals, n)).reshape(2, 2)
    chance = [drop(removals.whole, one[RANDOM]) for one in removal_curves(removals, {})]
    areas = np.concatenate([found, np.mean(chance, axis=2)], axis=1)
    return np.stack([areas.min(axis=1), areas.max(axis=1)], axis=1)


def _exact(removals: Removals, n: int) -> list[float]:
    weights = np.bincount(cuts(n)) / len(SHARES)  # of the drop with so many tokens
    numbers = [s for s in range(1, 2**n) if s.bit_count() < len(weights)]
    sets = (np.array(numbers)[:, None] >> np.arange(n)) & 1 == 1
    found = []
    for keep in (~sets, sets):
        least, most = {0: 0.0}, {0: 0.0}
        for s, value in zip(numbers, removals.drops(keep).tolist(), strict=True):
            smaller = [s ^ 1 << i for i in range(n) if s >> i & 1]  # solved before: lower numbers
            own = weights[s.bit_count()] * value
            least[s] = own + min(least[one] for one in smaller)
            most[s] = own + max(most[one] for one in smaller)
        last = [s for s in numbers if s.bit_count() == len(weights) - 1]
        found += [min(least[s] for s in last), max(most[s] for s in last)]
    return found


_ENDS = ((False, -1), (False, 1), (True, -1), (True, 1))  # kept, or removed; the least, the most


def _beam(removals: Removals, n: int) -> list[float]:
    weights = np.bincount(cuts(n)) / len(SHARES)
    beams = [(np.zeros((1, n), dtype=bool), np.zeros(1)) for _ in _ENDS]  # sets, areas so far
    for size in range(1, len(weights)):
        grown = [_grown(sets) for sets, _ in beams]
        keep = [sets if kept else ~sets for (kept, _), (sets, _) in zip(_ENDS, grown, strict=True)]
        values = removals.drops(np.concatenate(keep))
        for at, value in enumerate(np.split(values, np.cumsum([*map(len, keep)])[:-1])):
            (sets, parents), so_far = grown[at], beams[at][1]
            # The area if all drops yet to come were the present one.
            promise = so_far[parents] + weights[size:].sum() * value
            best = np.argsort(-_ENDS[at][1] * promise, kind="stable")
            _, first = np.unique(sets[best], axis=0, return_index=True)  # of equal sets the best
            chosen = best[np.sort(first)[:WIDTH]]
            beams[at] = sets[chosen], (so_far[parents] + weights[size] * value)[chosen]
    return [sign * (sign * areas).max() for (_, sign), (_, areas) in zip(_ENDS, beams, strict=True)]


def _grown(sets: Sets) -> tuple[Bool[np.ndarray, "grown tokens"], Int[np.ndarray, " grown"]]:
    """Return every set with one token more, and of each the place of the set it came from."""
    parents, tokens = np.nonzero(~sets)
    grown = sets[parents]
    grown[np.arange(len(grown)), tokens] = True
    return grown, parents


def _blocks(removals: Removals, n: int) -> list[float]:
    nothing, found = np.zeros(n, dtype=bool), []
    first = [_singles(removals, nothing, kept) for kept in (False, True)]
    for kept, sign in _ENDS:
        present, area = nothing, 0.0
        for size in cuts(n):
            effects = _singles(removals, present, kept) if present.any() else first[kept]
            best = np.argsort(-sign * effects, kind="stable")[: size - present.sum()]
            more = np.nonzero(~present)[0][best]
            present = present | np.isin(np.arange(n), more)
            area += float(removals.drops((present if kept else ~present)[None])[0])
        found.append(area / len(SHARES))
    return found


def _singles(removals: Removals, present: Bool[np.ndarray, " n"], kept: bool) -> np.ndarray:
    """Return the drop with each one token more kept, or removed."""
    sets = _grown(present[None])[0]
    if kept or removals.by != "deletion":
        return removals.drops(sets if kept else ~sets)
    text = torch.tensor([BEGIN, *removals.tokens[~present], END])
    without = logits_without_each(removals.classifier, [text], memory=removals.memory)[1][0]
    return drop(removals.whole, without)


def curves(
    classifier: Classifier,
    ids: Ids,
    importances: Mapping[str, Float[np.ndarray, "documents tokens"]],
    by: str = "deletion",
    pool: Int[np.ndarray, " words"] | None = None,
    limited: bool = True,
    memory: int | None = None,
) -> Curves:
    """Return the `removal_curves` of N documents, with their `limits` if `limited`.

    `importances` are (N, n_max) by explainer, as `attribution.importance` returns them; `pool`, for
    ``other``, the tokens of other documents (see `stand_ins`); a `UserError` where ``other`` has
    none, or another kind has one. The rest is as in `Removals`.
    """
    if (by == "other") != (pool is not None):
        raise UserError(
            f"removal by '{by}': 'other' needs a pool of words, and no other kind does."
        )
    shape = len(ids), ORDERS, len(SHARES)
    names = [*importances, RANDOM]
    without, only = ({name: np.full(shape, np.nan) for name in names} for _ in range(2))
    logit, ends = np.full(len(ids), np.nan), np.full((len(ids), 2, 2), np.nan)
    for row, document in enumerate(ids):
        others = None if pool is None else stand_ins(document, pool)
        removals = Removals(classifier, document, by, others, memory)
        n = len(document) - 2
        given = {name: values[row, :n] for name, values in importances.items()}
        for every, found in zip((without, only), removal_curves(removals, given), strict=True):
            for name in names:
                every[name][row] = found[name]
        logit[row] = removals.whole[0]
        if limited:
            ends[row] = limits(removals)
    return Curves(logit, without, only, ends if limited else None)
