"""Building blocks that importance and influence share: chunks of documents, products, gates."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

# Bytes that one chunk of work may hold. On a CPU with 32 MB of cache 2²⁴ and 2²⁵ measured fastest,
# for passes through the network as for influence; 2²² took up to twice as long, 2²⁸ a tenth longer.
# A GPU wants large chunks.
MEMORY = 2**25
MEMORY_GPU = 2**30


def memory_bound(memory: int | None, device: torch.device) -> int:
    """Return the bytes a chunk may hold: the caller's, or the default for the device."""
    if memory is not None:
        return memory
    return MEMORY if device.type == "cpu" else MEMORY_GPU


def chunks(
    ids: Sequence[Int[Tensor, " _"]], bytes_each: Callable[[int], int], memory: int
) -> Iterator[list[int]]:
    """Yield the documents' indices in chunks, longest documents first.

    Parameters
    ----------
    ids
        Documents, markers included; those without a token between the markers are left out.
    bytes_each
        From a number of tokens, markers included, to the bytes one such document needs.
    memory
        Bytes a chunk may need; a single document may exceed it.
    """
    order = sorted((d for d in range(len(ids)) if len(ids[d]) > 2), key=lambda d: -len(ids[d]))
    start = 0
    while start < len(order):
        count = max(1, memory // bytes_each(len(ids[order[start]])))
        yield order[start : start + count]
        start += count


def product(
    left: Float[Tensor, "*batch inner"],
    right: Float[Tensor, "inner columns"],
    bias: Float[Tensor, " columns"] | None = None,
) -> Float[Tensor, "*batch columns"]:
    """Multiply by a matrix, through oneDNN where it applies (float32 on a CPU); no gradient.

    On AMD processors torch's own product (MKL) takes twice as long (100 against 210 GFLOP/s on
    one core of an EPYC 9005).
    """
    if _by_onednn(left):
        if not (right.is_contiguous() or right.t().is_contiguous()):
            right = right.contiguous()  # a slice's strides would fall to a kernel 1000 times slower
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            left.contiguous(), right.t(), bias, "none", [], ""
        )
        return out
    return left @ right if bias is None else left @ right + bias


def _by_onednn(tensor: Tensor) -> bool:
    onednn = torch._C._has_mkldnn and torch.backends.mkldnn.enabled
    return bool(onednn and tensor.device.type == "cpu" and tensor.dtype == torch.float32)


def directions(hidden: Tensor) -> Tensor:
    """Return h_p/‖h_p‖, the gradient of ‖h_p‖; zero where h_p is."""
    norms = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    return torch.where(norms > 0, hidden / norms, 0)


class Steps(NamedTuple):
    """An LSTM at every step of one document; all (time, hidden), `summed` (time, 4 · hidden).

    ``summed`` is the input's part of the gates' sums, W_ih x_t + b; ``i, f, g, o`` are the gates,
    ``cell`` c_t and ``hidden`` h_t; ``cell_before`` c_(t−1) and ``hidden_before`` h_(t−1).
    """

    summed: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    cell: Tensor
    hidden: Tensor
    cell_before: Tensor
    hidden_before: Tensor


def lstm_steps(lstm: nn.LSTM, inputs: Float[Tensor, "time input"]) -> Steps:
    r"""Run an LSTM over one document and return all that its steps computed; no gradient.

    The fused kernel gives h. With it known, the gates of all steps are one matrix product, and
    only the cells remain to be summed step by step:

    .. math::
        (i, f, g, o)_t = (\sigma, \sigma, \tanh, \sigma)(W_{ih} x_t + W_{hh} h_{t-1} + b),\quad
        c_t = f_t c_{t-1} + i_t g_t,\quad h_t = o_t \tanh c_t
    """
    into, recurrent, bias = lstm_weights(lstm)
    hidden: Tensor = lstm(inputs[None])[0][0]
    summed = product(inputs, into.t(), bias)
    hidden_before = torch.cat([torch.zeros_like(hidden[:1]), hidden[:-1]])
    sums = summed + product(hidden_before, recurrent.t())
    i, f, g, o = sums.chunk(4, dim=-1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell = i * g
    for now, forget, before in zip(cell[1:], f[1:], cell[:-1], strict=True):
        now.addcmul_(forget, before)  # in place: the next step's `before` is this step's `now`
    cell_before = torch.cat([torch.zeros_like(cell[:1]), cell[:-1]])
    return Steps(summed, i, f, g, o, cell, hidden, cell_before, hidden_before)


def lstm_weights(lstm: nn.LSTM) -> tuple[Tensor, Tensor, Tensor]:
    """Return W_ih (4 · hidden, input), W_hh (4 · hidden, hidden) and the sum of both biases."""
    into, recurrent = cast(Tensor, lstm.weight_ih_l0), cast(Tensor, lstm.weight_hh_l0)
    return into, recurrent, cast(Tensor, lstm.bias_ih_l0) + cast(Tensor, lstm.bias_hh_l0)


Recurrence = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def recurrence(recurrent: Float[Tensor, "gates hidden"], steps: int) -> Recurrence:
    """Return an LSTM with these recurrent weights, for many calls of so many steps; no gradient.

    Its arguments are the inputs (steps, rows, input), the input weights (4 · hidden, input), and
    the hidden and cell states (rows, hidden) to set out from; it returns all hidden states (steps,
    rows, hidden) and the last hidden and cell states. There is no bias.

    Through oneDNN the recurrent weights are put into its own order once. `torch.lstm` does so at
    each call, which at 12 steps of 100 rows takes a tenth of it.
    """
    size = recurrent.shape[1]
    if _by_onednn(recurrent):
        like, bias = recurrent.new_zeros(len(recurrent), steps + 1), recurrent.new_zeros(4 * size)
        packed = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(
            like, recurrent, size, False, False, False, [steps, 64, steps + 1]
        )[1]
        no_batches: list[int] = []  # sizes of packed sequences; 2 is the code of an LSTM
        options = False, no_batches, 2, size, 1, False, False, False, False

        def run(inputs: Tensor, into: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
            return torch.ops.aten.mkldnn_rnn_layer(
                inputs, into, packed, bias, bias, hidden, cell, *options
            )[:3]

    else:

        def run(inputs: Tensor, into: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
            weights, state = (into, recurrent), (hidden[None], cell[None])
            # cuDNN would copy the weights at each call. On a CPU two threads may come here at
            # once, and the flag is one for all of them.
            plain = torch.backends.cudnn.flags(enabled=False) if inputs.is_cuda else nullcontext()
            with plain:
                out = torch.lstm(inputs, state, weights, False, 1, 0.0, False, False, False)
            return out[0], out[1][0], out[2][0]

    return cast(Recurrence, run)
