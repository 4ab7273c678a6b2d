r"""A Transformer's documents: without each token, with each replaced; norms of its Jacobians.

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
from torch import Tensor, nn

from sparseattn.attribution.kernels import directions
from sparseattn.models.batches import Batch
from sparseattn.models.classifier import Classifier, SelfAttentionLayer, Transformer
from sparseattn.models.products import product

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


def transformer_replaced(
    classifier: Classifier, ids: Tensor, replaced: Tensor, memory: int
) -> tuple[Tensor, Tensor]:
    """Return scores and values w·h, (1 + n, n), of a document, whole and with each token replaced.

    Parameters are as of `transformer_logits`, and `replaced` (n,) the other words. Only the layers'
    merged products save time here: every state of a variant is new but in the first layer.
    """
    encoder = cast(Transformer, classifier.encoder)
    embedded = classifier.embedding(torch.cat([ids, replaced]))
    projected = encoder.project(embedded)
    whole, others = projected[: len(ids)], projected[len(ids) :]
    position = encoder.positions(len(ids), whole)
    whole, others = whole + position, others + position[1:-1]
    instead = torch.cat([whole[:1], others])  # variant 0 has all of its own
    layers = [cast(SelfAttentionLayer, layer) for layer in encoder.layers]
    merged = [_merge(layer) for layer in layers]
    step = max(1, memory // (8 * len(ids) * encoder.size * whole.element_size()))
    seen = []
    for variants in torch.split(torch.arange(len(instead), device=ids.device), step):
        states = whole.repeat(len(variants), 1, 1)
        states[torch.arange(len(variants), device=ids.device), variants] = instead[variants]
        for layer, weights in zip(layers, merged, strict=True):
            states = _after(layer, states, _attention(weights, states))
        inner = states[:, 1:-1]
        seen.append((classifier.alignment(inner), inner @ classifier.decoder.weight[0]))
    scores, values = map(torch.cat, zip(*seen, strict=True))
    return scores, values


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
    for into, asked, read, value in zip(out, query, states, values, strict=True):
        into.copy_(product(torch.softmax(product(asked, read.t()), dim=-1), value))
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


class Passed(NamedTuple):
    """What one Transformer layer computed for one document of T positions.

    ``query, key, value`` (T, d); ``weights`` (T, T); of each normalisation the standardised
    states and 1/σ; ``active`` the units that the rectifier let through.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    weights: Tensor
    standard1: Tensor
    inverse1: Tensor
    active: Tensor
    standard2: Tensor
    inverse2: Tensor
    states: Tensor


def _pass(layer: SelfAttentionLayer, states: Tensor) -> Passed:
    """Run one layer on one document, (T, d); see `SelfAttentionLayer`."""
    query, key, value = layer.qkv(states).chunk(3, dim=-1)
    weights = torch.softmax(query @ key.t() / math.sqrt(query.shape[-1]), dim=-1)
    standard1, inverse1 = _standardise(states + layer.out(weights @ value), layer.norm1)
    middle = standard1 * layer.norm1.weight + layer.norm1.bias
    expanded = torch.relu(layer.expand(middle))
    standard2, inverse2 = _standardise(middle + layer.contract(expanded), layer.norm2)
    out = standard2 * layer.norm2.weight + layer.norm2.bias
    active = (expanded > 0).to(out.dtype)
    return Passed(query, key, value, weights, standard1, inverse1, active, standard2, inverse2, out)


def _standardise(states: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(states, dim=-1, correction=0, keepdim=True)
    inverse = (variance + norm.eps).rsqrt()
    return (states - mean) * inverse, inverse


def _back_to_attention(layer: SelfAttentionLayer, passed: Passed, adjoint: Tensor) -> Tensor:
    """Carry adjoints of a layer's output, (…, T, d), back to where attention was added."""
    adjoint = _back_through_norm(layer.norm2, passed.standard2, passed.inverse2, adjoint)
    inner = product(adjoint, layer.contract.weight).mul_(passed.active)
    adjoint = adjoint + product(inner, layer.expand.weight)
    return _back_through_norm(layer.norm1, passed.standard1, passed.inverse1, adjoint)


def _back_through_norm(
    norm: nn.LayerNorm, standard: Tensor, inverse: Tensor, adjoint: Tensor
) -> Tensor:
    r"""Return :math:`(w - \bar w - \hat x\,\overline{w \hat x})/\sigma`, w = γ ⊙ adjoint."""
    scaled = adjoint * norm.weight
    along = torch.linalg.vecdot(scaled, standard)[..., None] / standard.shape[-1]
    scaled.sub_(scaled.mean(dim=-1, keepdim=True)).addcmul_(along, standard, value=-1)
    return scaled.mul_(inverse)


def transformer_norms(encoder: Transformer, embedded: Tensor, whole: bool, memory: int) -> Tensor:
    r"""Return (n, n) influences or Jacobian norms through both layers.

    In the last layer the adjoint u of h_p reaches all of the layer's inputs, but through one row
    of attention only: with s its scores' and z̄ its values' adjoint, q its query, input k receives
    s_k W_kᵀq + α_pk W_vᵀz̄, and k = p also what flows through the query and past attention.
    In the first layer these are n adjoints of all T states, and matrix products throughout.
    """
    first, last = (cast(SelfAttentionLayer, layer) for layer in encoder.layers)
    time, size = len(embedded), encoder.size
    states = encoder.project(embedded) + encoder.positions(time, embedded)
    below = _pass(first, states)
    above = _pass(last, below.states)
    into = encoder.project.weight
    if into.shape[1] > size:  # the length of aW is that of aRᵀ, where Wᵀ = QR
        into = torch.linalg.qr(into.t(), mode="r").R.t()
    to_query, to_key, to_value = first.qkv.weight.chunk(3)
    added = below.value @ first.out.weight.t()  # what each value adds where it is attended to
    mixed = below.weights @ added
    scaled = below.weights / math.sqrt(size)
    mixing = below.weights.t().contiguous()
    score_in = torch.cat([below.key @ to_query, below.query @ to_key]) @ into
    value_in = first.out.weight @ to_value @ into

    rows = torch.arange(1, time - 1, device=embedded.device)
    starts = directions(above.states[1:-1])
    if whole:
        rows = rows.repeat_interleave(size)
        starts = torch.eye(size, dtype=embedded.dtype, device=embedded.device)
        starts = starts.repeat(time - 2, 1)
    squares = embedded.new_zeros(time, time)
    step = max(1, memory // (time * (8 * size + 3 * time) * embedded.element_size()))
    for some in torch.split(torch.arange(len(rows), device=rows.device), step):
        adjoint = _through_last(last, above, rows[some], starts[some])
        adjoint = _back_to_attention(first, below, adjoint)
        scores = product(adjoint, added.t())
        scores = scores.sub_(torch.linalg.vecdot(adjoint, mixed)[..., None]).mul_(scaled)
        both = torch.cat([scores, scores.transpose(1, 2)], dim=-1)
        total = product(adjoint, into) + product(both, score_in)
        values = product(adjoint, value_in).transpose(0, 1)  # (T, R, …): one product for all
        total += product(mixing, values.flatten(1)).view(values.shape).transpose(0, 1)
        squares.index_add_(0, rows[some], torch.linalg.vecdot(total, total))
    return squares[1:-1, 1:-1].sqrt()


def _through_last(
    layer: SelfAttentionLayer, passed: Passed, rows: Tensor, adjoint: Tensor
) -> Tensor:
    """Carry adjoints (R, d) of the states at `rows` back to all the layer's inputs, (R, T, d)."""
    own = Passed(*(part[rows] for part in passed))
    to_query, to_key, to_value = layer.qkv.weight.chunk(3)
    adjoint = _back_to_attention(layer, own, adjoint)
    values = adjoint @ layer.out.weight
    scores = values @ passed.value.t()
    scores = own.weights * (scores - (scores * own.weights).sum(-1, keepdim=True))
    scores = scores / math.sqrt(passed.query.shape[-1])
    result = scores[:, :, None] * (own.query @ to_key)[:, None]
    result.addcmul_(own.weights[:, :, None], (values @ to_value)[:, None])
    result[torch.arange(len(rows), device=rows.device), rows] += (
        adjoint + scores @ passed.key @ to_query
    )
    return result
