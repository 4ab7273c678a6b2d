"""A document's logit with each of its tokens, or each of its hidden states, removed in turn."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sparseattn.attribution.halves import Halves, halves
from sparseattn.attribution.kernels import (
    Steps,
    chunks,
    lstm_steps,
    lstm_weights,
    memory_bound,
    product,
    recurrence,
)
from sparseattn.attribution.transformer import transformer_logits
from sparseattn.errors import UserError, nearest
from sparseattn.models.classifier import (
    AdditiveAlignment,
    BiLSTM,
    Classifier,
    DotAlignment,
    NoEncoder,
    collate,
)

Logits = Float[np.ndarray, " documents"]
LogitsWithout = Float[np.ndarray, "documents tokens"]

# Steps of an LSTM handed to the fused kernel at once; 8 to 16 measured alike.
BLOCK = 12


def logits_without_each(
    classifier: Classifier,
    ids: Sequence[Int[Tensor, " _"]],
    of: str = "inputs",
    memory: int | None = None,
) -> tuple[Logits, LogitsWithout]:
    """Logit of each document, and its logits with each token or hidden state removed in turn.

    Parameters
    ----------
    classifier
        The model.
    ids
        N documents, each BEGIN, n tokens, END.
    of
        ``inputs``: the token is deleted, and the rest of the text closes up;
        ``hidden``: the state is masked before the projection, the others stay.
    memory
        Bytes a chunk of work may take; by default fit to the device.

    Returns
    -------
    tuple of ndarray
        (N,) logits, and (N, n_max) logits without token i, zeros beyond each document's tokens;
        in the classifier's dtype (float32).

    Raises
    ------
    UserError
        For an unknown `of`.

    Notes
    -----
    Removing a hidden state changes neither the other scores nor the values w·h_i: only the
    projection is solved again. Deleting a token runs the encoder again, for a BiLSTM only as far
    as the states differ (`_bilstm_logits`). Deleting the only token leaves nothing to attend to,
    and the logit is the decoder's bias.
    """
    check_choice("of", of, ("inputs", "hidden"))
    device, dtype = classifier.device, classifier.embedding.weight.dtype
    bound = memory_bound(memory, device)
    longest = max((len(one) - 2 for one in ids), default=0)
    full = classifier.decoder.bias.detach().expand(len(ids)).to("cpu", copy=True)
    without = torch.zeros(len(ids), longest, dtype=dtype)
    again = of == "inputs" and not isinstance(classifier.encoder, NoEncoder)
    divide = again and isinstance(classifier.encoder, BiLSTM)
    with torch.no_grad(), halves(device, divide) as both:
        if again:
            for (row,) in chunks(ids, lambda _: bound, bound):  # one at a time
                document = ids[row].to(device)
                if divide:
                    logits = _bilstm_logits(classifier, document, both)
                else:
                    logits = transformer_logits(classifier, document, bound)
                full[row], without[row, : len(logits) - 1] = logits[0], logits[1:]
        else:
            for rows in chunks(ids, lambda time: 8 * time * time * dtype.itemsize, bound):
                batch = collate([ids[row] for row in rows], device)
                hidden = classifier.encoder(classifier.embedding(batch.ids), batch)[:, 1:-1]
                tokens = batch.tokens[:, 1:-1]
                scores, values = classifier.alignment(hidden), hidden @ classifier.decoder.weight[0]
                logits = _logits(classifier, scores[:, None], values[:, None], tokens).cpu()
                full[rows] = logits[:, 0]
                without[rows, : tokens.shape[1]] = logits[:, 1:] * tokens.cpu()
    return full.numpy(), without.numpy()


def check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    """Raise a `UserError` unless `given` is one of the `known` values of parameter `name`."""
    if given not in known:
        raise UserError(
            f"'{name}' was '{given}'; expected one of {', '.join(known)}.{nearest(given, known)}"
        )


def _logits(classifier: Classifier, scores: Tensor, values: Tensor, tokens: Tensor) -> Tensor:
    """Return (batch, 1 + n) logits: row 0 attends to all tokens, row i to all but the i-th.

    `scores` and `values` w·h are (batch, 1 + n or 1, n): what each row sees of each token.
    """
    count = tokens.shape[-1]
    keep = ~torch.eye(count + 1, dtype=torch.bool, device=tokens.device)[:, 1:]
    mask = tokens[:, None] & keep
    weights = classifier.projection(scores.expand(mask.shape), mask)
    # Row sums, not a matrix product: equal rows then give equal logits to the last bit.
    return (weights * values).sum(dim=-1) + classifier.decoder.bias


def _bilstm_logits(classifier: Classifier, ids: Tensor, both: Halves) -> Tensor:
    """Return (1 + n,) logits of a document, whole and without each token.

    Without token i, the forward states before i and the backward states after i are the whole
    document's: for each variant and position just one half of the state is new. The score
    v·tanh(W_f h_f + W_b h_b + b) and the value w_f·h_f + w_b·h_b are completed with the known half.
    """
    encoder = cast(BiLSTM, classifier.encoder)
    embedded, decoder = classifier.embedding(ids), classifier.decoder.weight[0]
    matrix, bias, score = _alignment(classifier)
    count, half = len(ids) - 2, encoder.size // 2
    readings = (encoder.forwards, embedded), (encoder.backwards, embedded.flip(0))
    forwards, backwards = both(lambda reading: lstm_steps(*reading), *readings)

    def seen(direction: tuple[nn.LSTM, Steps, Steps, slice, slice]) -> tuple[Tensor, Tensor]:
        """Return scores and values, (variants, positions) each, right beyond the missing token."""
        lstm, steps, other, mine, others = direction
        known = other.hidden.flip(0)  # the other direction's states, in this one's order
        known_sums = product(known, matrix[:, others].t(), bias)
        known_values = known @ decoder[others]
        to_sums, to_value = matrix[:, mine].t().contiguous(), decoder[mine]
        scores, values = embedded.new_zeros(2, count, count + 1)  # by position, then variant
        for start, hidden in _variants(lstm, steps):
            now = slice(start, start + len(hidden))
            later, rows = slice(start - 1, now.stop - 1), slice(hidden.shape[1])
            scores[later, rows] = score(product(hidden, to_sums).add_(known_sums[now, None]))
            values[later, rows] = hidden @ to_value + known_values[now, None]
        return scores.t(), values.t()

    first, second = slice(half), slice(half, None)
    found = both(
        seen,
        (encoder.forwards, forwards, backwards, first, second),
        (encoder.backwards, backwards, forwards, second, first),
    )
    after = torch.ones(count + 1, count, dtype=torch.bool, device=ids.device).triu()
    scores, values = (
        # Row 0 is the whole document; rows 1… and all columns of the second run right to left.
        torch.where(after, one, torch.cat([two[:1], two[1:].flip(0)]).flip(1))
        for one, two in zip(*found, strict=True)
    )
    tokens = torch.ones(1, count, dtype=torch.bool, device=ids.device)
    return _logits(classifier, scores[None], values[None], tokens)[0]


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
