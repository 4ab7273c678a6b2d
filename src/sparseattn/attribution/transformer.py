r"""A Transformer's logit with each token of a document removed: what the variants share, once.

Deleting a token moves all later ones one position up, so in each variant all states may differ. But
the *first* layer reads each token at no more than two positions: its own (u_t) and the one before
(s_t). Its queries, keys and values, and the exponentials of all its scores, are therefore computed
once for these 2(n + 2) inputs. Variant r attends to u_k, k < r, and to s_k, k > r: for each query a
sum over a prefix and one over a suffix.

With one head, a layer needs two products where it is trained with four. A score is, but for what
is the same for all keys and cancels in the softmax,

.. math:: (W_q x + b_q)^\top (W_k y + b_k) / \sqrt d \;\to\; (x M + c) \cdot y,\qquad
    M = W_q^\top W_k / \sqrt d,\quad c = b_q^\top W_k / \sqrt d,

and as weights sum to one, W_o Σ w (W_v y + b_v) + b_o = Σ w (y (W_o W_v)ᵀ) + W_o b_v + b_o.
"""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor

from sparseattn.attribution.kernels import product
from sparseattn.models.classifier import Batch, Classifier, SelfAttentionLayer, Transformer

# From so many tokens on, products document by document through oneDNN are faster than torch's for
# the whole batch (EPYC 9005: 1.6 times at 180 tokens, twice at 500; at 60 six tenths as fast).
LONG = 100
# A query's exponentials are relative to its largest. Where a variant lacks that key, and all of its
# own are so much smaller that they lose digits in float32, it is computed by itself.
FAINT = 1e-30


def transformer_logits(classifier: Classifier, ids: Tensor, memory: int) -> Tensor:
    """Return (1 + n,) logits of a document, whole and without each token.

    Parameters
    ----------
    classifier
        With a `Transformer`.
    ids
        BEGIN, n tokens, END.
    memory
        Bytes that the variants worked on at a time may take.
    """
    encoder = cast(Transformer, classifier.encoder)
    projected = encoder.project(classifier.embedding(ids))
    count = len(ids) - 2
    whole = classifier(Batch(ids[None], ids.new_tensor([len(ids)]))).logit
    position = encoder.positions(len(ids), projected)
    moved = torch.cat([position[:1], position[:-1]])
    first, *others = [cast(SelfAttentionLayer, layer) for layer in encoder.layers]
    shared = _share(first, projected + position, projected + moved)
    merged = [_merge(layer) for layer in others]
    inner = torch.ones(1, count + 1, dtype=torch.bool, device=ids.device)
    inner[:, 0] = inner[:, -1] = False
    step = max(1, memory // (8 * len(ids) * encoder.size * projected.element_size()))
    logits = [whole]
    for begin in range(1, count + 1, step):
        end = min(begin + step, count + 1)
        states = _after(first, *_first_attention(shared, begin, end))
        for layer, weights in zip(others, merged, strict=True):
            states = _after(layer, states, _attention(weights, states))
        attention = classifier.projection(
            classifier.alignment(states), inner.expand(end - begin, -1)
        )
        logits.append(classifier.decode(attention, states))
    return torch.cat(logits)


class Merged(NamedTuple):
    """A layer's attention as two products: M (d, d), c (d,); (W_o W_v)ᵀ (d, d), W_o b_v + b_o."""

    to_query: Tensor
    query_bias: Tensor
    to_value: Tensor
    value_bias: Tensor


def _merge(layer: SelfAttentionLayer) -> Merged:
    query, key, value = layer.qkv.weight.chunk(3)
    query_bias, _, value_bias = layer.qkv.bias.chunk(3)
    scale = 1 / math.sqrt(len(query))
    return Merged(
        query.t() @ key * scale,
        query_bias @ key * scale,
        (layer.out.weight @ value).t().contiguous(),
        layer.out.weight @ value_bias + layer.out.bias,
    )


def _attention(merged: Merged, states: Tensor) -> Tensor:
    """Return what attention adds to states (batch, time, d), each document by itself."""
    query = product(states, merged.to_query, merged.query_bias)
    values = product(states, merged.to_value)
    if states.shape[1] < LONG:
        weights = torch.softmax(query @ states.transpose(1, 2), dim=-1)
        return (weights @ values).add_(merged.value_bias)
    out = torch.empty_like(values)
    for one, asked, read, value in zip(out, query, states, values, strict=True):
        one.copy_(product(torch.softmax(product(asked, read.t()), dim=-1), value))
    return out.add_(merged.value_bias)


def _after(layer: SelfAttentionLayer, states: Tensor, attended: Tensor) -> Tensor:
    """Return a layer's output from its input and what its attention adds to that."""
    states = layer.norm1(attended.add_(states))
    expanded = product(states, layer.expand.weight.t(), layer.expand.bias).relu_()
    return layer.norm2(product(expanded, layer.contract.weight.t(), layer.contract.bias) + states)


class Shared(NamedTuple):
    """What the variants share of the first layer; T = n + 2 tokens, each at two positions.

    ``inputs`` (2T, d): u, then s. Of u_0 … u_(n−1), and of s_2 … s_(n+1), the keys that a variant
    may have: ``before`` and ``beyond`` (2T, n), the exponentials of all queries' scores with them,
    and their values (n, d).
    """

    inputs: Tensor
    before: Tensor
    beyond: Tensor
    before_values: Tensor
    beyond_values: Tensor
    merged: Merged


def _share(layer: SelfAttentionLayer, own: Tensor, moved: Tensor) -> Shared:
    inputs, merged = torch.cat([own, moved]), _merge(layer)
    keys = torch.cat([own[:-2], moved[2:]])
    query = product(inputs, merged.to_query, merged.query_bias)
    scores = product(query, keys.t())
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp_()
    values = product(keys, merged.to_value)
    before, beyond = weights.chunk(2, dim=1)
    before_values, beyond_values = values.chunk(2)
    return Shared(inputs, before, beyond, before_values, beyond_values, merged)


def _first_attention(shared: Shared, begin: int, end: int) -> tuple[Tensor, Tensor]:
    """Return inputs and what attention adds to them, (variants, n + 1, d), of variants begin ….

    The keys that all variants of this chunk have are summed for all queries, in one product; those
    that some of them lack, end − begin − 1 on either side, are added variant by variant.
    """
    inputs, before, beyond, before_values, beyond_values, merged = shared
    half, device = len(inputs) // 2, inputs.device
    removed = torch.arange(begin, end, device=device)[:, None]
    query = torch.arange(half - 1, device=device)
    row = torch.where(query < removed, query, half + 1 + query)

    common = torch.cat([before[:, :begin], beyond[:, end - 2 :]], dim=1)
    sums = product(common, torch.cat([before_values[:begin], beyond_values[end - 2 :]]))[row]
    total = common.sum(dim=1)[row]
    if end - begin > 1:  # a product over no keys at all is refused
        early, late = slice(begin, end - 1), slice(begin - 1, end - 2)
        key = torch.arange(begin, end - 1, device=device)
        present = torch.cat([key < removed, key >= removed], dim=1)
        weights = torch.cat([before[:, early], beyond[:, late]], dim=1)[row] * present[:, None]
        total += weights.sum(dim=-1)
        sums += product(weights, torch.cat([before_values[early], beyond_values[late]]))
    if float(total.min()) < FAINT:
        return inputs[row], _attention(merged, inputs[row])
    return inputs[row], sums.div_(total[..., None]).add_(merged.value_bias)
