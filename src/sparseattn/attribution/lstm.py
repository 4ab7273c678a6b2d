"""A BiLSTM's documents: without each token, with each replaced, and the norms of its Jacobians."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sparseattn.attribution.kernels import Halves, directions, masked_logits
from sparseattn.models.classifier import AdditiveAlignment, BiLSTM, Classifier, DotAlignment
from sparseattn.models.products import by_onednn, product

# Steps of an LSTM handed to the fused kernel at once; 8 to 16 measured alike.
BLOCK = 12


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


def recurrence(
    recurrent: Float[Tensor, "gates hidden"], steps: int, width: int | None = None
) -> Recurrence:
    """Return an LSTM with these recurrent weights, for many calls of so many steps; no gradient.

    Its arguments are the inputs (steps, rows, input), the input weights (4 · hidden, input), and
    the hidden and cell states (rows, hidden) to set out from; it returns all hidden states (steps,
    rows, hidden) and the last hidden and cell states. There is no bias. The inputs' size is
    `width`, by default steps + 1.

    Through oneDNN the recurrent weights are put into its own order once. `torch.lstm` does so at
    each call, which at 12 steps of 100 rows takes a tenth of it.
    """
    size, width = recurrent.shape[1], steps + 1 if width is None else width
    if by_onednn(recurrent):
        like, bias = recurrent.new_zeros(len(recurrent), width), recurrent.new_zeros(4 * size)
        packed = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(
            like, recurrent, size, False, False, False, [steps, 64, width]
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


def bilstm_logits(classifier: Classifier, ids: Tensor, both: Halves) -> Tensor:
    """Return (1 + n,) logits of a document, whole and without each token."""
    scores, values = _seen(classifier, ids, both)
    tokens = torch.ones(1, len(ids) - 2, dtype=torch.bool, device=ids.device)
    return masked_logits(classifier, scores[None], values[None], tokens)[0]


def bilstm_replaced(
    classifier: Classifier, ids: Tensor, replaced: Tensor, both: Halves
) -> tuple[Tensor, Tensor]:
    """Return scores and values w·h, (1 + n, n): of a document, and with each token replaced."""
    instead = classifier.embedding(torch.cat([ids[:1], replaced, ids[-1:]]))
    return _seen(classifier, ids, both, instead)


def _seen(
    classifier: Classifier, ids: Tensor, both: Halves, instead: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return scores and values (1 + n, n) of a document, whole and with each token another or gone.

    With token i changed, the forward states before i and the backward states after i are the whole
    document's: for each variant and position just one half of the state is new, but for the token's
    own place, where both are if it has another vector (of `instead`), and nothing stands if not.
    The score v·tanh(W_f h_f + W_b h_b + b) and the value w_f·h_f + w_b·h_b are completed with the
    known half.
    """
    encoder = cast(BiLSTM, classifier.encoder)
    embedded, decoder = classifier.embedding(ids), classifier.decoder.weight[0]
    matrix, bias, score = _alignment(classifier)
    count, half = len(ids) - 2, encoder.size // 2
    readings = (encoder.forwards, embedded), (encoder.backwards, embedded.flip(0))
    forwards, backwards = both(lambda reading: lstm_steps(*reading), *readings)

    def one_way(
        direction: tuple[nn.LSTM, Steps, Tensor | None, Steps, slice, slice],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores and values, right beyond the changed token; and states at its place."""
        lstm, steps, words, other, mine, others = direction
        known = other.hidden.flip(0)  # the other direction's states, in this one's order
        known_sums = product(known, matrix[:, others].t(), bias)
        known_values = known @ decoder[others]
        to_sums, to_value = matrix[:, mine].t().contiguous(), decoder[mine]
        scores, values = embedded.new_zeros(2, count, count + 1)  # by position, then variant
        own = []
        for start, hidden in (
            _variants(lstm, steps) if words is None else _replaced(lstm, steps, words)
        ):
            now = slice(start, start + len(hidden))
            place, rows = slice(start - 1, now.stop - 1), slice(hidden.shape[1])
            scores[place, rows] = score(product(hidden, to_sums).add_(known_sums[now, None]))
            values[place, rows] = hidden @ to_value + known_values[now, None]
            own.append(hidden[:, start:].diagonal().t())
        return scores.t(), values.t(), torch.cat(own)

    first, second = slice(half), slice(half, None)
    turned = None if instead is None else instead.flip(0)
    (*ahead, own), (*back, own_back) = both(
        one_way,
        (encoder.forwards, forwards, instead, backwards, first, second),
        (encoder.backwards, backwards, turned, forwards, second, first),
    )
    after = torch.ones(count + 1, count, dtype=torch.bool, device=ids.device).triu()
    scores, values = (
        # Row 0 is the whole document; rows 1… and all columns of the second run right to left.
        torch.where(after, one, torch.cat([two[:1], two[1:].flip(0)]).flip(1))
        for one, two in zip(ahead, back, strict=True)
    )
    if instead is not None:
        hidden = torch.cat([own, own_back.flip(0)], dim=-1)
        scores[1:].diagonal().copy_(score(product(hidden, matrix.t(), bias)))
        values[1:].diagonal().copy_(hidden @ decoder)
    return scores, values


def _variants(lstm: nn.LSTM, steps: Steps) -> Iterator[tuple[int, Tensor]]:
    """Yield, block by block of positions, its first one and all variants' hidden states in it.

    The states are (positions, variants, hidden). Variant 0 is the whole document, variant i lacks
    the i-th token; its states are right at the positions beyond i, and to be ignored before.

    Variants 0 … start − 1 go on from the block before. Variants start … stop − 1 lack a position
    of this block: they set out one position before it, where all documents are still alike, and
    skip their own. So all take as many steps, and step s is at position start + s for each.

    What a step adds to the gates, W_ih x_t + b, is known: the kernel is given a one-hot vector as
    the step's input, and these sums as its input weights.
    """
    summed, last = steps.summed, len(steps.summed) - 1
    run = recurrence(lstm_weights(lstm)[1], BLOCK)
    hidden, cell = steps.hidden_before[1:2], steps.cell_before[1:2]
    count = 0
    for start in range(1, last, BLOCK):
        stop = min(start + BLOCK, last)
        if stop - start != count:  # the first block, and the last where it is shorter
            count = stop - start
            step = torch.arange(count, device=summed.device)
            one_hot = torch.eye(count + 1, dtype=summed.dtype, device=summed.device)
            skipping = one_hot[step[:, None] + (step[:, None] > step)]  # counted from start − 1
            going_on = one_hot[1:, None]
        inputs = torch.cat([going_on.expand(-1, start, -1), skipping], dim=1)
        before = start - 1
        hidden = torch.cat([hidden, steps.hidden_before[before].expand(count, -1)])
        cell = torch.cat([cell, steps.cell_before[before].expand(count, -1)])
        states, hidden, cell = run(inputs, summed[before:stop].t().contiguous(), hidden, cell)
        yield start, states


def _replaced(lstm: nn.LSTM, steps: Steps, instead: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield blocks as `_variants` does, of variants in which the i-th token is another.

    Variants start … stop − 1 set out at the block's first position, where all are still alike; the
    other words' sums stand beside the document's among the input weights.
    """
    into, recurrent, bias = lstm_weights(lstm)
    summed, others, last = steps.summed, product(instead, into.t(), bias), len(instead) - 1
    run = recurrence(recurrent, BLOCK, 2 * BLOCK)
    hidden, cell = steps.hidden_before[1:2], steps.cell_before[1:2]
    for start in range(1, last, BLOCK):
        stop = min(start + BLOCK, last)
        count = stop - start
        one_hot = torch.eye(2 * count, dtype=summed.dtype, device=summed.device)
        step = torch.arange(count, device=summed.device)
        swapped = one_hot[step[:, None] + count * (step[:, None] == step)]
        inputs = torch.cat([one_hot[:count, None].expand(-1, start, -1), swapped], dim=1)
        hidden = torch.cat([hidden, steps.hidden_before[start].expand(count, -1)])
        cell = torch.cat([cell, steps.cell_before[start].expand(count, -1)])
        columns = torch.cat([summed[start:stop], others[start:stop]]).t().contiguous()
        states, hidden, cell = run(inputs, columns, hidden, cell)
        yield start, states


def _alignment(classifier: Classifier) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Split the alignment into what is linear in h, as a matrix and a bias, and the rest."""
    alignment = classifier.alignment
    if isinstance(alignment, AdditiveAlignment):
        outer = alignment.outer.weight[0]
        double, constant = 2 * outer, outer.sum()

        def score(sums: Tensor) -> Tensor:
            # v·tanh x = 2v·σ(2x) − Σv, and torch's σ is ten times as fast as its tanh.
            return sums.sigmoid_() @ double - constant

        return 2 * alignment.inner.weight, 2 * alignment.inner.bias, score
    matrix = cast(DotAlignment, alignment).weight.weight
    return matrix, matrix.new_zeros(1), lambda sums: sums.squeeze(-1) / math.sqrt(matrix.shape[1])


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


def bilstm_texts(classifier: Classifier, ids: Int[Tensor, "texts time"]) -> Float[Tensor, " texts"]:
    """Return the logits of texts of one length that are made of few words; no gradient.

    ``ids`` are BEGIN, tokens, END. What a word adds to the gates, W_ih x + b, is computed once
    where there are fewer words than entries of an embedding: as in `_variants`, the kernel is then
    given one-hot vectors, and these sums as its input weights.
    """
    encoder, decoder = cast(BiLSTM, classifier.encoder), classifier.decoder
    words, code = torch.unique(ids, return_inverse=True)
    embedded = classifier.embedding(words)
    few = len(words) < embedded.shape[1]
    table = torch.eye(len(words), dtype=embedded.dtype, device=ids.device) if few else embedded
    matrix, bias, score = _alignment(classifier)
    inputs = table[code.t()]
    states = []
    for lstm, read in ((encoder.forwards, inputs), (encoder.backwards, inputs.flip(0))):
        into, recurrent, both = lstm_weights(lstm)
        if few:
            given = [product(embedded, into.t(), both).t().contiguous(), recurrent]
        else:
            given = [into, recurrent, both, torch.zeros_like(both)]
        state = read.new_zeros(1, len(ids), recurrent.shape[1])
        out = torch.lstm(read, (state, state), given, not few, 1, 0.0, False, False, False)[0]
        states.append(out)
    hidden = torch.cat([states[0], states[1].flip(0)], dim=-1)[1:-1]
    scores = score(product(hidden, matrix.t(), bias)).t()
    values = (hidden @ decoder.weight[0]).t()
    weights = classifier.projection(scores, torch.ones_like(scores, dtype=torch.bool))
    return (weights * values).sum(dim=-1) + decoder.bias
