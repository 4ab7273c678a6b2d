"""More measures of what the output owes each token, and the one list of all of them.

All functions take N documents as token ids (BEGIN, n tokens, END) and return float32 (N, n_max)
over the tokens alone, not normalised, zeros beyond each document's n. Documents are worked on one
at a time, and random draws are seeded by a document's own ids: equal texts have equal values to the
bit, whatever stands beside them. ``memory`` is that of :mod:`attribution.importance`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparseattn.attribution.importance import (
    attention,
    gradient_importance,
    logits_without_each,
    output_change,
)
from sparseattn.attribution.kernels import Ids, PerToken, at_once, memory_bound
from sparseattn.attribution.pretrained import minilm_rollout
from sparseattn.attribution.removal import Removals
from sparseattn.errors import UserError
from sparseattn.models.batches import Batch, collate
from sparseattn.models.classifier import (
    Classifier,
    NoEncoder,
    Output,
    SelfAttentionLayer,
    Transformer,
)
from sparseattn.models.pretrained import MiniLM

# What the draws are for: two measures of one document draw differently.
_ORDERS, _SUBSETS, _NOISE = range(3)

_RIDGE = 1.0


def integrated_gradients(
    classifier: Classifier, ids: Ids, steps: int = 16, memory: int | None = None
) -> PerToken:
    r"""Return integrated gradients (Sundararajan et al., 2017) of the logit, signed.

    From a text whose tokens have zero vectors, the markers their own, along a straight line to X:

    .. math:: \sum_d X_{id} \int_0^1 \frac{\partial f}{\partial X_{id}}(t X)\,\mathrm{d}t

    by Gauss and Legendre's rule with `steps` nodes. The values sum to f(X) − f(0), but for the
    rule's error, which is larger where a sparse projection has kinks.
    """
    nodes, masses = np.polynomial.legendre.leggauss(steps)  # on (−1, 1)
    shares, weights = (
        torch.from_numpy(half).to(classifier.embedding.weight)[:, None, None]
        for half in ((nodes + 1) / 2, masses / 2)
    )
    result = _table(ids)
    for row, document in _each(ids):
        time, bound = len(document), memory_bound(memory, classifier.device)
        many = at_once(classifier, time, bound)
        embedded = classifier.embedding(document.to(classifier.device)).detach()
        mean = torch.zeros_like(embedded)
        for start in range(0, steps, many):
            share, weight = (part[start : start + many] for part in (shares, weights))
            points = embedded.repeat(len(share), 1, 1)
            points[:, 1:-1] *= share
            batch = collate([document] * len(share), classifier.device)
            # cuDNN refuses a recurrent backward pass in evaluation mode; torch's own does not.
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                logit = classifier.from_embedded(points.requires_grad_(), batch).logit
                (slopes,) = torch.autograd.grad(logit.sum(), points)
            mean += (slopes * weight).sum(dim=0)
        result[row, : time - 2] = (embedded * mean).sum(dim=-1)[1:-1].cpu().numpy()
    return result


def shapley(
    classifier: Classifier, ids: Ids, permutations: int | None = None, memory: int | None = None
) -> PerToken:
    """Return sampled Shapley values of the logit, signed; an absent token is deleted.

    The mean over `permutations`, an even number, of what a token adds to those before it (Castro et
    al., 2009), each permutation with its reverse, which lowers the variance (Mitchell et al.,
    2022). The values sum to f(text) − f(empty), exactly but for rounding. By default the number
    falls with the length, as the passes that one needs grow: 20 to 36 tokens, 4 from 144 on. A
    `UserError` when it is odd or below 2.
    """
    if permutations is not None and (permutations < 2 or permutations % 2):
        raise UserError(
            f"'permutations' was {permutations}; give an even number from 2 on: each is taken "
            "with its reverse."
        )
    result = _table(ids)
    for row, document in _each(ids):
        count = len(document) - 2
        pairs = permutations // 2 if permutations else min(max(round(360 / count), 2), 10)
        places = np.tile(np.arange(count), (pairs, 1))
        orders = _draws(document, _ORDERS).permuted(places, axis=1)
        orders = np.concatenate([orders, orders[:, ::-1]])
        result[row, :count] = mean_addition(classifier, document, orders, memory)
    return result


def mean_addition(
    classifier: Classifier,
    document: Int[Tensor, " time"],
    orders: Int[np.ndarray, "permutations tokens"],
    memory: int | None,
) -> Float[np.ndarray, " tokens"]:
    """Return the mean change of the logit when each token joins those before it in an order."""
    ranks = np.argsort(orders, axis=1)
    keep = ranks[:, None] < np.arange(orders.shape[1] + 1)[:, None]  # the first 0 … n of an order
    removals = Removals(classifier, document, memory=memory)
    logits = removals.logits(keep.reshape(-1, orders.shape[1]))
    added = np.diff(logits.astype(np.float64).reshape(keep.shape[:2]), axis=1)
    return np.take_along_axis(added, ranks, axis=1).mean(axis=0)


def lime(
    classifier: Classifier, ids: Ids, samples: int = 300, memory: int | None = None
) -> PerToken:
    r"""Return LIME's coefficients (Ribeiro et al., 2016) of the logit, signed.

    Each of `samples` texts keeps each token with probability one half, the others are deleted. A
    ridge regression (penalty 1, the intercept free) of the logit on which tokens are there, a text
    that keeps k of n weighing :math:`\exp(-d^2/2)`, :math:`d = 1 - \sqrt{k/n}` its cosine distance
    from the whole: captum's sampling and kernel, and the regression of LIME's authors.
    """
    result = _table(ids)
    for row, document in _each(ids):
        keep = _draws(document, _SUBSETS).random((samples, len(document) - 2)) < 0.5
        logits = Removals(classifier, document, memory=memory).logits(keep)
        result[row, : keep.shape[1]] = _ridge(keep, logits.astype(np.float64))
    return result


def _ridge(
    keep: Bool[np.ndarray, "samples tokens"], logits: Float[np.ndarray, " samples"]
) -> Float[np.ndarray, " tokens"]:
    """Solve min Σ w_s (f_s − b − x_s·β)² + ‖β‖² for β."""
    distance = 1 - np.sqrt(keep.mean(axis=1))
    weights = np.exp(-(distance**2) / 2)
    inputs = keep - weights @ keep / weights.sum()
    weighted = inputs.T * weights
    penalty = _RIDGE * np.eye(keep.shape[1])
    return np.linalg.solve(weighted @ inputs + penalty, weighted @ logits)


def attention_norm(classifier: Classifier, ids: Ids) -> PerToken:
    """Return α_i ‖h_i‖: attention by the norm of what it weighs (Kobayashi et al., 2020)."""
    return _from_output(
        classifier, ids, lambda out, _: out.attention * torch.linalg.vector_norm(out.hidden, dim=-1)
    )


def alignment_scores(classifier: Classifier, ids: Ids) -> PerToken:
    """Return the scores a_i that the projection turns into attention, signed."""
    return _from_output(classifier, ids, lambda out, _: out.scores)


def rollout(classifier: Classifier, ids: Ids) -> PerToken:
    r"""Return attention rollout (Abnar and Zuidema, 2020), pooled by attention.

    :math:`\alpha^\top \prod_l (W_l + I)/2`, later layers to the left, W_l a Transformer layer's
    weights. What the markers get is left out and the rest not scaled up: a document's values sum
    to less than 1. Without an encoder it is attention; for a BiLSTM it is undefined, NaN.
    """
    encoder = classifier.encoder
    if isinstance(encoder, MiniLM):
        return _from_output(classifier, ids, partial(minilm_rollout, encoder))
    if isinstance(encoder, Transformer):
        return _from_output(classifier, ids, partial(_rolled_out, encoder))
    defined = isinstance(encoder, NoEncoder)
    return _from_output(
        classifier, ids, lambda out, _: out.attention if defined else out.attention * torch.nan
    )


def _rolled_out(encoder: Transformer, out: Output, _: Batch) -> Float[Tensor, "batch time"]:
    """Go back through the layers; the output is of documents without padding."""
    real = torch.ones_like(out.attention, dtype=torch.bool)
    states = encoder.embed(out.embedded)
    layers = []
    for layer in encoder.layers:
        layers.append(cast(SelfAttentionLayer, layer).attend(states, real)[0])
        states = layer(states, real)
    shares = out.attention[:, None]
    for weights in reversed(layers):
        shares = (shares @ weights + shares) / 2
    return shares[:, 0]


def random_importance(ids: Ids) -> PerToken:
    """Return noise, uniform in (0, 1): what no measure may fall short of."""
    result = _table(ids)
    for row, document in _each(ids):
        steps = _draws(document, _NOISE).integers(1, 2**24, len(document) - 2)
        result[row, : len(steps)] = steps / 2**24  # exact in float32, so never 0 nor 1
    return result


def leave_one_out(classifier: Classifier, ids: Ids) -> PerToken:
    """Return the change of the probability when a token is deleted, see `output_change`."""
    logit, without = logits_without_each(classifier, ids)
    return output_change(logit, without, [len(document) - 2 for document in ids])


class Explainer(NamedTuple):
    """A measure of tokens' importance.

    ``signed``: whether values may be negative; but for scores, those above zero raise the logit,
    which of a class decided by default says little. ``costly``: whether it is for a sample of
    documents, at many passes each. ``undefined_for``: encoders for which it is NaN.
    """

    function: Callable[[Classifier, Ids], PerToken]
    signed: bool = False
    costly: bool = False
    undefined_for: tuple[str, ...] = ()


EXPLAINERS: Mapping[str, Explainer] = {
    "attention": Explainer(attention),
    "attention_norm": Explainer(attention_norm),
    "attention_rollout": Explainer(rollout, undefined_for=("bilstm",)),
    "scores": Explainer(alignment_scores, signed=True),
    "random": Explainer(lambda _, ids: random_importance(ids)),
    "inputs_gradient": Explainer(gradient_importance),
    "inputs_gradient_fixed": Explainer(partial(gradient_importance, through_attention=False)),
    "inputs_product": Explainer(partial(gradient_importance, times_embedding=True)),
    "inputs_product_fixed": Explainer(
        partial(gradient_importance, through_attention=False, times_embedding=True)
    ),
    "inputs_integrated": Explainer(integrated_gradients, signed=True, costly=True),
    "inputs_loo": Explainer(leave_one_out),
    "inputs_shapley": Explainer(shapley, signed=True, costly=True),
    "inputs_lime": Explainer(lime, signed=True, costly=True),
}
"""Every measure by its name among the traces; in words by :func:`wording.label`."""


def _table(ids: Ids) -> PerToken:
    longest = max((len(document) - 2 for document in ids), default=0)
    return np.zeros((len(ids), longest), dtype=np.float32)


def _each(ids: Ids) -> Iterator[tuple[int, Int[Tensor, " time"]]]:
    """Yield the documents that have a token, and their rows."""
    return ((row, document) for row, document in enumerate(ids) if len(document) > 2)


def _draws(document: Int[Tensor, " time"], purpose: int) -> np.random.Generator:
    """Return a generator that one document and purpose determine."""
    return np.random.default_rng([purpose, *document.tolist()])


def _from_output(
    classifier: Classifier,
    ids: Ids,
    measure: Callable[[Output, Batch], Float[Tensor, "batch time"]],
) -> PerToken:
    """Return what can be read from one pass through each document."""
    result = _table(ids)
    with torch.no_grad():
        for row, document in _each(ids):
            batch = collate([document], classifier.device)
            values = measure(classifier(batch), batch)
            result[row, : len(document) - 2] = values[0, 1:-1].cpu().numpy()
    return result
