"""Norms of a Transformer's Jacobians: every position's adjoints in matrix products."""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from sparseattn.attribution.kernels import directions, product
from sparseattn.models.classifier import SelfAttentionLayer, Transformer


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
