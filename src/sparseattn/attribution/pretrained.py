"""A pretrained encoder's documents: without each word, with each replaced; norms of its Jacobians.

Every layer reads every piece, and a deletion moves all later ones: nothing of one variant serves
another, so each is a pass of its own, many at a time.
"""

from itertools import chain
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn.attribution.kernels import directions, passes
from sparseattn.models.batches import Batch, collate
from sparseattn.models.classifier import Classifier, Output
from sparseattn.models.pretrained import MiniLM, MiniLMLayer


def logits_deleted(
    classifier: Classifier, ids: Int[Tensor, " time"], memory: int
) -> Float[Tensor, " variants"]:
    """Return (1 + n,) logits of a document, whole and without each word.

    `ids` are BEGIN, n words, END; `memory` the bytes that the variants at work may take.
    """
    count = len(ids) - 2
    kept = torch.arange(len(ids), device=ids.device) != torch.arange(1, count + 1)[:, None]
    texts = ids.expand(count, -1)[kept].view(count, -1)
    both = chain(passes(classifier, ids[None], memory), passes(classifier, texts, memory))
    return torch.cat([some.logit for some in both])


def seen_replaced(
    classifier: Classifier, ids: Int[Tensor, " time"], replaced: Int[Tensor, " n"], memory: int
) -> tuple[Float[Tensor, "variants n"], Float[Tensor, "variants n"]]:
    """Return scores and values w·h, (1 + n, n), of a document, whole and with each replaced."""
    texts = ids.repeat(len(ids) - 1, 1)
    texts[1:, 1:-1].diagonal().copy_(replaced)
    scores, values = [], []
    for out in passes(classifier, texts, memory):
        scores.append(out.scores[:, 1:-1])
        values.append(out.hidden[:, 1:-1] @ classifier.decoder.weight[0])
    return torch.cat(scores), torch.cat(values)


def minilm_norms(
    encoder: MiniLM, embedded: Float[Tensor, "time embedding"], ids: Tensor, whole: bool, step: int
) -> Float[Tensor, "n n"]:
    """Return (n, n) influences or Jacobian norms, `step` adjoints at a time.

    Each adjoint goes back through a copy of the document: automatic differentiation as it is.
    """
    count = len(ids) - 2
    squares = embedded.new_zeros(count, count)
    with torch.no_grad():
        starts = directions(encoder(embedded[None], collate([ids], ids.device))[0, 1:-1])
    rows = torch.arange(count, device=ids.device)
    if whole:
        rows = rows.repeat_interleave(encoder.size)
        starts = torch.eye(encoder.size).to(embedded).repeat(count, 1)
    for some in torch.split(torch.arange(len(rows), device=ids.device), step):
        with torch.enable_grad():
            source = embedded.repeat(len(some), 1, 1).requires_grad_()
            hidden = encoder(source, collate([ids] * len(some), ids.device))[:, 1:-1]
            chosen = hidden[torch.arange(len(some), device=ids.device), rows[some]]
            (slopes,) = torch.autograd.grad((chosen * starts[some]).sum(), source)
        squares.index_add_(0, rows[some], slopes[:, 1:-1].square().sum(dim=-1))
    return squares.sqrt()


def minilm_rollout(encoder: MiniLM, out: Output, batch: Batch) -> Float[Tensor, "batch time"]:
    r"""Return rollout of words: a word's weight α spread evenly over its pieces, and back.

    The mean over heads stands for a layer's weights; a word gets the sum over its pieces.
    """
    layout = encoder.layout(batch)
    states = encoder.read(out.embedded, layout)
    mixed = []
    for layer in encoder.layers:
        mixed.append(cast(MiniLMLayer, layer).attend(states, layout.real).mean(dim=1))
        states = layer(states, layout.real)
    share = out.attention / layout.counts.clamp(min=1)
    flow = share.gather(1, layout.words) * layout.real
    for weights in reversed(mixed):
        flow = (flow + (flow[:, None] @ weights)[:, 0]) / 2
    return layout.of_words(flow[:, :, None])[:, :, 0]
