"""Norms of a BiLSTM's Jacobians: every position's adjoints in one backward recurrence."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparseattn.attribution.halves import Halves
from sparseattn.attribution.kernels import Steps, directions, lstm_steps, lstm_weights, product
from sparseattn.models.classifier import BiLSTM


def bilstm_norms(
    encoder: BiLSTM, embedded: Tensor, whole: bool, memory: int, both: Halves
) -> Tensor:
    """Return influences (n, n) of X_i on h_p, or norms of the whole Jacobians.

    The forward half of h_p depends on the inputs i ≤ p, the backward half on i ≥ p. At i = p both
    halves contribute: their gradients of ‖h_p‖ are added before the norm is taken, while the rows
    of a Jacobian stay side by side.
    """
    readings = (encoder.forwards, embedded), (encoder.backwards, embedded.flip(0))
    steps = both(lambda reading: lstm_steps(*reading), *readings)
    towards = directions(torch.cat([steps[0].hidden, steps[1].hidden.flip(0)], dim=-1))
    forwards, backwards = towards.chunk(2, dim=-1)
    memory //= both.at_once

    def direction(given: tuple[nn.LSTM, Steps, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the norms at all inputs, and the gradients at each position's own."""
        lstm, passed, start = given
        slopes, (into, _, _) = _slopes(passed), lstm_weights(lstm)
        cell = start * slopes.cell
        gates = torch.cat([(slopes.gates * cell[:, None]).flatten(1), start * slopes.output], dim=1)
        every = torch.eye(start.shape[1], dtype=start.dtype, device=start.device)
        adjoints = every.expand(len(start), -1, -1) if whole else start[:, None]
        return _norms(lstm, passed, slopes, adjoints, memory), gates @ into

    (norms, own), (norms_back, own_back) = both(
        direction,
        (encoder.forwards, steps[0], forwards),
        (encoder.backwards, steps[1], backwards.flip(0)),
    )
    total = torch.hypot(norms, norms_back.flip(0, 1))
    if not whole:
        total.diagonal().copy_(torch.linalg.vector_norm(own + own_back.flip(0), dim=-1))
    return total[1:-1, 1:-1]


class Slopes(NamedTuple):
    """Derivatives of one LSTM step, all (time, hidden) but for ``gates``.

    ``cell`` ∂h/∂c; ``output`` ∂h/∂(sum of gate o); ``forget`` ∂c_t/∂c_(t−1); ``gates``
    (time, 3, hidden): ∂c/∂(sum of gates i, f, g).
    """

    cell: Tensor
    output: Tensor
    forget: Tensor
    gates: Tensor


def _slopes(steps: Steps) -> Slopes:
    i, f, g, o = steps.i, steps.f, steps.g, steps.o
    tanh = steps.cell.tanh()
    gates = [g * i * (1 - i), steps.cell_before * f * (1 - f), i * (1 - g.square())]
    return Slopes(o * (1 - tanh.square()), tanh * o * (1 - o), f, torch.stack(gates, dim=1))


def _norms(lstm: nn.LSTM, steps: Steps, slopes: Slopes, adjoints: Tensor, memory: int) -> Tensor:
    r"""Return (time, time): length of what the adjoints of h_p come to at x_i; 0 for i > p.

    `adjoints` is (time, per position, hidden), several of one position being taken together (the
    Frobenius norm). With A and C the adjoints of h_t and c_t, one row for each adjoint of a
    position p ≥ t, a step backwards is

    .. math::
        \bar c &= C + A \odot o(1-\tanh^2 c),\qquad \bar o = A \odot \tanh(c)\, o(1-o)\\
        [A', \bar x] &= [\bar c, \bar o]\, \begin{bmatrix}
            g i(1-i) \odot W_i + c_{t-1} f(1-f) \odot W_f + i(1-g^2) \odot W_g \\ W_o
            \end{bmatrix},\qquad C' = \bar c \odot f

    with W the recurrent and the input weights side by side. Scaling the weights of the three gates
    that share the adjoint c̄ halves the inner size of the product, against the chain rule spelt out
    gate by gate: 4 · hidden · (hidden + input) operations for each p and t.
    """
    time, per, size = adjoints.shape
    into, recurrent, _ = lstm_weights(lstm)
    if into.shape[1] > into.shape[0]:  # the length of aW is that of aRᵀ, where Wᵀ = QR
        into = torch.linalg.qr(into.t(), mode="r").R.t()
    weights = torch.cat([recurrent, into], dim=1).view(4, size, -1)
    matrix = torch.cat([weights[0], weights[3]])
    norms = weights.new_zeros(time, time)
    row_bytes = (6 * size + weights.shape[-1]) * weights.element_size()
    positions = max(1, memory // (row_bytes * per))
    for first in range(1, time - 1, positions):
        last = min(first + positions, time - 1)
        hidden = adjoints[first:last].flatten(0, 1).clone()
        cell, sums = torch.zeros_like(hidden), hidden.new_zeros(len(hidden), 2 * size)
        for step in range(last - 1, 0, -1):
            begin = max(step, first)
            rows = slice((begin - first) * per, None)  # those of positions p ≥ step
            gate = slopes.gates[step, :, :, None]
            torch.mul(gate[0], weights[0], out=matrix[:size])
            matrix[:size].addcmul_(gate[1], weights[1]).addcmul_(gate[2], weights[2])
            torch.addcmul(cell[rows], hidden[rows], slopes.cell[step], out=sums[rows, :size])
            torch.mul(hidden[rows], slopes.output[step], out=sums[rows, size:])
            torch.mul(sums[rows, :size], slopes.forget[step], out=cell[rows])
            out = product(sums[rows], matrix)
            hidden[rows] = out[:, :size]
            inputs = out[:, size:].view(last - begin, per, -1)
            norms[begin:last, step] = torch.linalg.vector_norm(inputs, dim=(1, 2))
    return norms
