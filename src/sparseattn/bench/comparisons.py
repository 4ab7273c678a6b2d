"""Ours against peers: the same numbers first, then the times, taken in turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparseattn.attribution.explainers import integrated_gradients, mean_addition
from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.influence import influence, jacobian_influence
from sparseattn.attribution.paths import PATHS, path_effects
from sparseattn.attribution.removal import Removals, limits, removal_curves
from sparseattn.bench import peers
from sparseattn.data.tasks import Documents, Task
from sparseattn.data.words import BEGIN, END
from sparseattn.measures.faithfulness import Curves, faithfulness
from sparseattn.measures.kendall import kendall_tau
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier, ModelSettings
from sparseattn.models.training import TrainingSettings, fit

VOCABULARY = 20_000
REST = 0.02


@dataclass(frozen=True)
class Comparison:
    """One peer: ``key`` of the ratio, both times in seconds, the largest difference of results.

    ``difference`` is relative to the largest result; None where the peer computes another quantity.
    """

    key: str
    ours: float
    peer: float
    difference: float | None
    what: str
    against: str

    @property
    def ratio(self) -> float:
        """How many times faster than the peer."""
        return self.peer / self.ours


Rivals = Mapping[str, tuple[str, Callable[[], Any]]]
"""Key of the ratio → against what, in words, and the peer itself."""


def document(tokens: int, seed: int = 0) -> Tensor:
    """Return a random document of so many tokens."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(4, VOCABULARY, (tokens,), generator=generator)
    return torch.cat([torch.tensor([BEGIN]), words, torch.tensor([END])])


def classifier_of(encoder: str, hidden_size: int = 128, embedding_size: int = 300) -> Classifier:
    """Return a classifier with random weights and sparsemax over additive scores.

    The Transformer's normalisations are moved off their initial 1 and 0, at which all states have
    one length, and influences are nothing but rounding.
    """
    torch.manual_seed(0)
    settings = ModelSettings.model_validate(
        {
            "encoder": encoder,
            "projection": "sparsemax",
            "hidden_size": hidden_size,
            "embedding_size": embedding_size,
        }
    )
    classifier = Classifier(settings, VOCABULARY).eval()
    with torch.no_grad():
        for name, weight in classifier.named_parameters():
            if "norm" in name:
                weight.add_(torch.randn_like(weight), alpha=0.2)
    return classifier


def take_turns(functions: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Return the median seconds of each function, all of them called in turn.

    Each begins after a rest of `REST` seconds: the threads of the one before wait actively for more
    work, some milliseconds long, and would take a core from whoever comes next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(REST)
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def fastest(function: Callable[[int], object], sizes: Sequence[int]) -> int:
    """Return the batch size at which a peer is fastest; the last of `sizes` bounds the others."""
    sizes = [size for size in sizes if size <= sizes[-1]]
    for size in sizes:
        function(size)
    times = take_turns({str(size): partial(function, size) for size in sizes}, 2)
    return int(min(times, key=lambda size: times[size]))


def difference(found: Any, expected: Any, most: float = 1e-5) -> float:
    """Return the largest difference over the largest value; raise where it exceeds `most`."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    worst = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not worst <= most:
        raise AssertionError(f"Results differ by {worst:.1e} of the largest; allowed {most:.0e}.")
    return worst


def hold_against(
    what: str, ours: Callable[[], Any], rivals: Rivals, repetitions: int, most: float | None = 1e-5
) -> list[Comparison]:
    """Compare ours with its rivals: the same numbers first, then the times, taken in turns.

    ``most`` is how far a rival's results may be off (`difference`); None for another quantity.
    """
    functions = {key: function for key, (_, function) in rivals.items()}
    differ: dict[str, float] = {}
    if most is not None:
        expected = ours()
        differ = {key: difference(expected, peer(), most) for key, peer in functions.items()}
    times = take_turns({"ours": ours, **functions}, repetitions)
    return [
        Comparison(key, times["ours"], times[key], differ.get(key), what, against)
        for key, (against, _) in rivals.items()
    ]


def check_peers(tokens: int = 25) -> float:
    """Return the largest difference between our ways and the plain ones, on a small classifier.

    An AssertionError where it exceeds what rounding explains.
    """
    ids, worst = document(tokens), 0.0
    for encoder in ("bilstm", "transformer"):
        small = classifier_of(encoder, 16, 20)
        left_out = logits_without_each(small, [ids])[1][0]
        worst = max(
            worst,
            difference(left_out, peers.leave_out_in_batches(small, ids, 1)),
            difference(influence(small, [ids])[0], peers.influence_by_loop(small, ids)),
        )
    return worst


def compare_leave_one_out(
    classifier: Classifier, ids: Tensor, repetitions: int, captum: bool = True
) -> list[Comparison]:
    """Compare leaving out each input with a loop, with plain batches, and with captum."""
    tokens, prefix, encoder = _named(classifier, ids)
    batched = partial(peers.leave_out_in_batches, classifier, ids)
    size = fastest(batched, (8, 16, 32, 64, tokens))
    what = f"leave-one-out of inputs, {encoder}, n = {tokens}"
    rivals: Rivals = {
        f"{prefix}loo_vs_naive": ("one forward pass a token", partial(batched, 1)),
        f"{prefix}loo_vs_batched": (
            f"plain batches, the best size ({size})",
            partial(batched, size),
        ),
    }

    def ours() -> Any:
        return logits_without_each(classifier, [ids])[1][0]

    rows = hold_against(what, ours, rivals, repetitions)
    if captum:
        other = "captum FeatureAblation, which replaces the embedding and deletes nothing"
        ablated = partial(peers.leave_out_by_captum, classifier, ids)
        many = partial(ablated, size)
        difference(ablated(), many(), 1e-4)
        rivals = {
            f"{prefix}loo_vs_captum": (f"{other}; defaults", ablated),
            f"{prefix}loo_vs_captum_batched": (f"{other}; {size} at once", many),
        }
        rows += hold_against(what, ours, rivals, repetitions, most=None)
    return rows


def compare_influence(
    classifier: Classifier, ids: Tensor, repetitions: int, whole: int = 0
) -> list[Comparison]:
    """Compare influence with a loop over positions and with a batch of copies.

    With `whole`, also the norms of whole Jacobians, on the first so many tokens.
    """
    tokens, prefix, encoder = _named(classifier, ids)
    copies = partial(peers.influence_by_copies, classifier, ids)
    size = fastest(copies, (8, 30, 60, tokens))
    loop = partial(peers.influence_by_loop, classifier, ids)
    rows = hold_against(
        f"influence on all hidden states, {encoder}, n = {tokens}",
        lambda: influence(classifier, [ids])[0],
        {
            f"{prefix}influence_vs_loop": ("autograd.grad for each position", loop),
            f"{prefix}influence_vs_batched": (f"{size} copies a batch", partial(copies, size)),
        },
        repetitions,
    )
    if whole:
        short = torch.cat([ids[: whole + 1], ids[-1:]])
        loop = partial(peers.jacobian_by_loop, classifier, short)
        rows += hold_against(
            f"whole Jacobians' norms, {encoder}, n = {whole}",
            lambda: jacobian_influence(classifier, [short])[0],
            {f"{prefix}jacobian_vs_loop": ("autograd.grad for each unit of each state", loop)},
            min(repetitions, 3),
        )
    return rows


def compare_paths(classifier: Classifier, ids: Tensor, repetitions: int) -> list[Comparison]:
    """Compare the paths of a replaced token's effect with a loop over tokens."""
    tokens, prefix, encoder = _named(classifier, ids)
    replaced = document(tokens, seed=1)[1:-1]
    loop = partial(peers.paths_by_loop, classifier, ids, replaced)

    def ours() -> Any:
        found = path_effects(classifier, [ids], [replaced])
        return np.stack([found[path][0] for path in PATHS])

    return hold_against(
        f"paths of replacing each input, {encoder}, n = {tokens}",
        ours,
        {f"{prefix}paths_vs_loop": ("one forward pass a token", loop)},
        repetitions,
        1e-4,  # the parts are small differences of logits
    )


def compare_integrated(
    classifier: Classifier, ids: Tensor, repetitions: int, steps: int = 16
) -> list[Comparison]:
    """Compare integrated gradients with captum's."""
    tokens, prefix, encoder = _named(classifier, ids)
    captum = partial(peers.integrated_by_captum, classifier, ids, steps)
    return hold_against(
        f"integrated gradients, {steps} nodes, {encoder}, n = {tokens}",
        lambda: integrated_gradients(classifier, [ids], steps)[0],
        {f"{prefix}integrated_vs_captum": ("captum IntegratedGradients, defaults", captum)},
        repetitions,
    )


def compare_shapley(
    classifier: Classifier, ids: Tensor, repetitions: int, permutations: int = 20
) -> list[Comparison]:
    """Compare sampled Shapley values with captum's, of the same permutations."""
    tokens, prefix, encoder = _named(classifier, ids)
    places = np.tile(np.arange(tokens), (permutations, 1))
    orders = np.random.default_rng(0).permuted(places, axis=1)
    captum = partial(peers.shapley_by_captum, classifier, ids, orders)
    return hold_against(
        f"Shapley values, {permutations} permutations, {encoder}, n = {tokens}",
        lambda: mean_addition(classifier, ids, orders, None),
        {f"{prefix}shapley_vs_captum": ("captum ShapleyValueSampling, defaults", captum)},
        repetitions,
    )


def compare_faithfulness(
    classifier: Classifier, ids: Tensor, repetitions: int, explainers: int = 10
) -> list[Comparison]:
    """Compare normalised faithfulness of some rankings with a forward pass a text."""
    tokens, prefix, encoder = _named(classifier, ids)
    rows = np.random.default_rng(0).random((explainers, tokens))
    importances = {str(name): row for name, row in enumerate(rows)}

    def columns(kind: type[Removals]) -> list[float]:
        removals = kind(classifier, ids)
        without, only = (
            {name: curve[None] for name, curve in one.items()}
            for one in removal_curves(removals, importances)
        )
        found = faithfulness(Curves(removals.whole, without, only, limits(removals)[None]))
        return [float(column[0]) for column in found.values()]

    what = f"normalised faithfulness of {explainers} rankings and chance, {encoder}, n = {tokens}"
    loop = partial(columns, peers.PlainRemovals)
    rivals: Rivals = {f"{prefix}faithfulness_vs_loop": ("one forward pass a text", loop)}
    return hold_against(what, partial(columns, Removals), rivals, min(repetitions, 3))


def compare_kendall(documents: int, tokens: int, repetitions: int) -> list[Comparison]:
    """Compare τ-b of many documents with scipy's, one ranking tied as a sparse attention is."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(documents, tokens)), 0)
    y = rng.normal(size=(documents, tokens))
    given = x, y, np.full(documents, tokens)
    rivals: Rivals = {"tau_vs_scipy": ("scipy in a loop", partial(peers.kendall_by_scipy, *given))}
    what = f"τ-b of {documents:,} documents, n = {tokens}"
    return hold_against(what, lambda: kendall_tau(*given), rivals, min(repetitions, 3), 1e-12)


def _named(classifier: Classifier, ids: Tensor) -> tuple[int, str, str]:
    """Return the number of tokens, what the keys begin with, and the encoder."""
    encoder = classifier.settings.encoder
    return len(ids) - 2, "" if encoder == "bilstm" else f"{encoder}_", encoder


def compare_training(documents: int, longest: int, repetitions: int) -> list[Comparison]:
    """Compare an epoch of training with torch's bidirectional LSTM, padded and packed."""
    rng = np.random.default_rng(0)
    tokens = np.exp(rng.normal(np.log(longest / 3), 0.8, documents)).astype(int)
    ids = tuple(document(n, seed) for seed, n in enumerate(tokens.clip(6, longest).tolist()))
    labels = torch.arange(documents, dtype=torch.float32) % 2
    keys = tuple(map(str, range(documents)))
    train = Documents(ids, labels, keys, None)
    words = tuple(map(str, range(VOCABULARY)))
    task = Task("bench", train, train.select([0, 1]), train.select([0, 1]), words, (), "")
    settings = TrainingSettings(epochs=1, device="cpu")

    def plain(packed: bool) -> Classifier:
        torch.manual_seed(0)
        classifier = Classifier(settings, VOCABULARY)
        assert classifier.settings.encoder == "bilstm"
        encoder: Any = classifier.encoder
        classifier.encoder = peers.PlainBiLSTM(encoder, packed)  # type: ignore[assignment]
        return classifier

    torch.manual_seed(0)
    ours = Classifier(settings, VOCABULARY)
    some = collate(ids[: settings.batch_size])
    with torch.no_grad():
        expected = ours(some).logit
        # Padded without packing the states themselves differ; hence the looser bound.
        differ = {
            name: difference(expected, plain(name == "packed")(some).logit, most)
            for name, most in (("padded", 1.0), ("packed", 1e-5))
        }
    seconds: dict[str, list[float]] = {"ours": [], "padded": [], "packed": []}
    for _ in range(repetitions):
        seconds["ours"].append(float(fit(settings, task).curve["seconds"].iloc[0]))
        for name in differ:
            classifier = plain(name == "packed").train()
            seconds[name].append(peers.plain_epoch(classifier, settings, ids, labels))
    times = {name: statistics.median(epochs) for name, epochs in seconds.items()}
    what = f"an epoch of {documents} documents of up to {longest} tokens"
    against = {
        "padded": "nn.LSTM padded, batches as they come (its states see the padding)",
        "packed": "nn.LSTM packed, batches as they come",
    }
    return [
        Comparison(
            f"train_vs_{name}", times["ours"], times[name], differ[name], what, against[name]
        )
        for name in differ
    ]
