"""What the output owes each input, or each hidden state: attention, gradients, leave-one-out.

All functions take N documents as token ids (BEGIN, n tokens, END) and return (N, n_max) arrays over
the tokens alone, in the classifier's dtype (float32), with zeros beyond each document's n. Values
are not normalised. ``memory`` are the bytes a chunk of work may take, by default fit to the device;
``of`` is ``inputs`` (embeddings X_i, tokens) or ``hidden`` (states h_i), anything else a UserError.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn.attribution.kernels import (
    Ids,
    PerToken,
    check_choice,
    chunks,
    halves,
    masked_logits,
    memory_bound,
    passing_bytes,
)
from sparseattn.attribution.lstm import bilstm_logits
from sparseattn.attribution.pretrained import logits_deleted
from sparseattn.attribution.transformer import transformer_logits
from sparseattn.models.batches import collate
from sparseattn.models.classifier import BiLSTM, Classifier, NoEncoder
from sparseattn.models.pretrained import MiniLM

IMPORTANCE_VERSION = 2  # 2: equal texts have equal logits; the same on any processor with AVX2

OF = ("inputs", "hidden")

Logits = Float[np.ndarray, " documents"]


def attention(classifier: Classifier, ids: Ids, memory: int | None = None) -> PerToken:
    """Return the attention weights α_i; those of each document sum to 1."""
    result = _table(classifier, ids)
    with torch.no_grad():
        for rows in _forward_chunks(classifier, ids, memory):
            batch = collate([ids[row] for row in rows], classifier.device)
            weights = classifier(batch).attention[:, 1:-1]
            result[rows, : weights.shape[1]] = weights.cpu()
    return result.numpy()


def gradient_importance(
    classifier: Classifier,
    ids: Ids,
    of: str = "inputs",
    through_attention: bool = True,
    times_embedding: bool = False,
    memory: int | None = None,
) -> PerToken:
    r"""Return the length of the logit's gradient at each embedding or hidden state.

    It is :math:`\|\partial f/\partial X_i\|_2` or :math:`\|\partial f/\partial h_i\|_2`, f the
    logit; without `through_attention` the attention weights are held constant. `times_embedding`
    gives :math:`|X_i^\top \partial f/\partial X_i|` instead (of a state, with h in place of X).

    Notes
    -----
    One backward pass of the summed logits serves a whole chunk of documents. The probability's
    gradient is σ′(f) times the logit's, so the shares of the tokens are the same. With constant
    attention and the linear decoder, ∂f/∂h_i = α_i w: the hidden states' importance is then
    proportional to attention by construction. Jain and Wallace (2019) multiply by the embedding and
    hold attention constant: in their code, not in their text.
    """
    check_choice("of", of, OF)
    result = _table(classifier, ids)
    for rows in _forward_chunks(classifier, ids, memory):
        batch = collate([ids[row] for row in rows], classifier.device)
        # cuDNN refuses a recurrent backward pass in evaluation mode; torch's own does not.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            source = classifier.embedding(batch.ids).detach().requires_grad_()
            hidden = classifier.encoder(source, batch)
            if of == "hidden":
                source = hidden = hidden.detach().requires_grad_()
            fixed = None
            if not through_attention:
                fixed = classifier.from_hidden(hidden, batch)[1].detach()
            logit = classifier.from_hidden(hidden, batch, fixed)[2]
            (slopes,) = torch.autograd.grad(logit.sum(), source)
        with torch.no_grad():
            products = (slopes * source).sum(dim=-1).abs()
            length = products if times_embedding else torch.linalg.vector_norm(slopes, dim=-1)
            length *= batch.tokens
        result[rows, : length.shape[1] - 2] = length[:, 1:-1].cpu()
    return result.numpy()


def logits_without_each(
    classifier: Classifier, ids: Ids, of: str = "inputs", memory: int | None = None
) -> tuple[Logits, PerToken]:
    """Return (N,) logits, and (N, n_max) logits with each token or hidden state removed in turn.

    Of ``inputs`` the token is deleted, and the rest of the text closes up; of ``hidden`` the state
    is masked before the projection, and the others stay. `output_change` is the importance.

    Notes
    -----
    Removing a hidden state changes neither the other scores nor the values w·h_i: only the
    projection is solved again. Deleting a token runs the encoder again, for a BiLSTM only as far
    as the states differ (`bilstm_logits`). Deleting the only token leaves nothing to attend to,
    and the logit is the decoder's bias. Deletions that leave the same text all have the logit of
    the first: rounding would tell apart what is one number, and break the ties of its ranking.
    """
    check_choice("of", of, OF)
    device, dtype = classifier.device, classifier.embedding.weight.dtype
    bound = memory_bound(memory, device)
    full = classifier.decoder.bias.detach().expand(len(ids)).to("cpu", copy=True)
    without = _table(classifier, ids)
    again = of == "inputs" and not isinstance(classifier.encoder, NoEncoder)
    divide = again and isinstance(classifier.encoder, BiLSTM)
    with torch.no_grad(), halves(device, divide) as both:
        if again:
            for (row,) in chunks(ids, lambda _: bound, bound):  # one at a time
                document = ids[row].to(device)
                if divide:
                    logits = bilstm_logits(classifier, document, both)
                elif isinstance(classifier.encoder, MiniLM):
                    logits = logits_deleted(classifier, document, bound)
                else:
                    logits = transformer_logits(classifier, document, bound)
                full[row], without[row, : len(logits) - 1] = logits[0], logits[1:]
        else:
            for rows in chunks(ids, lambda time: 8 * time * time * dtype.itemsize, bound):
                batch = collate([ids[row] for row in rows], device)
                hidden = classifier.encoder(classifier.embedding(batch.ids), batch)[:, 1:-1]
                tokens = batch.tokens[:, 1:-1]
                scores, values = classifier.alignment(hidden), hidden @ classifier.decoder.weight[0]
                logits = masked_logits(classifier, scores[:, None], values[:, None], tokens).cpu()
                full[rows] = logits[:, 0]
                without[rows, : tokens.shape[1]] = logits[:, 1:] * tokens.cpu()
    ordered = not isinstance(classifier.encoder, NoEncoder)
    if of == "inputs" or not ordered:
        for row, document in enumerate(ids):
            first = _first_alike(document[1:-1].cpu().numpy(), ordered)
            without[row, : len(first)] = without[row, first]
    return full.numpy(), without.numpy()


def _first_alike(tokens: Int[np.ndarray, " n"], ordered: bool) -> Int[np.ndarray, " n"]:
    """Return of each token the place of the first one whose deletion leaves the same text.

    Deleting i or j does where all tokens from i to j are equal; without order, where these two are.
    """
    groups = np.cumsum(np.diff(tokens, prepend=tokens[:1]) != 0) if ordered else tokens
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[group])


def output_change(
    logit: Logits,
    without: PerToken,
    lengths: Sequence[int] | np.ndarray,
    scale: str = "probability",
) -> PerToken:
    r"""Return leave-one-out importance |ŷ − ŷ₋ᵢ|, from the logits of `logits_without_each`.

    `lengths` (N,) counts each document's tokens; `scale`, of the change, is ``probability`` (of
    the positive class) or ``logit``, anything else a UserError.

    Notes
    -----
    Probabilities near 0 or 1 are not subtracted, which would lose their difference:

    .. math:: \sigma(a) - \sigma(b) = \sigma(a)\,\sigma(-b)\,(1 - e^{b-a})
    """
    check_choice("scale", scale, ("probability", "logit"))
    full, less = np.broadcast_arrays(logit.astype(np.float64)[:, None], without.astype(np.float64))
    change = np.abs(less - full)
    if scale == "probability":
        high, low = np.maximum(full, less), np.minimum(full, less)
        change = np.exp(_log_sigmoid(high) + _log_sigmoid(-low)) * -np.expm1(-change)
    inside = np.arange(without.shape[1]) < np.asarray(lengths)[:, None]
    return np.where(inside, change, 0.0).astype(without.dtype)


def _log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -x)


def _table(classifier: Classifier, ids: Ids) -> Tensor:
    longest = max((len(document) - 2 for document in ids), default=0)
    return torch.zeros(len(ids), longest, dtype=classifier.embedding.weight.dtype)


def _forward_chunks(classifier: Classifier, ids: Ids, memory: int | None) -> Iterator[list[int]]:
    """Chunks for a pass through the whole network, with what a backward pass needs of it."""
    bound = memory_bound(memory, classifier.device)
    return chunks(ids, partial(passing_bytes, classifier), bound)
