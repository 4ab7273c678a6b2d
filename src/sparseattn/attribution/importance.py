"""What the output owes each input, or each hidden state: attention, gradients, leave-one-out.

All functions take documents as token ids, markers included, and return arrays over the inner
tokens only: one row a document, in the given order, with zeros beyond its n tokens. Values are not
normalised; their dtype is the classifier's (float32).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn.attribution.deletion import check_choice, logits_without_each
from sparseattn.attribution.kernels import chunks, memory_bound
from sparseattn.models.classifier import Classifier, collate

IMPORTANCE_VERSION = 1

Ids = Sequence[Int[Tensor, " _"]]
PerToken = Float[np.ndarray, "documents tokens"]


def attention(classifier: Classifier, ids: Ids, memory: int | None = None) -> PerToken:
    """Attention weight α_i of each token.

    Parameters
    ----------
    classifier
        The model.
    ids
        N documents, each BEGIN, n tokens, END.
    memory
        Bytes a chunk of documents may take; by default fit to the device.

    Returns
    -------
    ndarray
        (N, n_max), the weights of each document summing to 1.
    """
    result = _table(classifier, ids)
    with torch.no_grad():
        for rows in _forward_chunks(classifier, ids, memory):
            batch = collate([ids[row] for row in rows], classifier.device)
            weights = classifier(batch).attention[:, 1:-1]
            result[rows, : weights.shape[1]] = weights.cpu().numpy()
    return result


def gradient_importance(
    classifier: Classifier,
    ids: Ids,
    of: str = "inputs",
    through_attention: bool = True,
    memory: int | None = None,
) -> PerToken:
    r"""Length of the logit's gradient with respect to each embedding or hidden state.

    Parameters
    ----------
    classifier, ids, memory
        As for `attention`.
    of
        ``inputs``: embeddings X_i; ``hidden``: states h_i.
    through_attention
        False holds the attention weights constant: what flows through the scores is left out.

    Returns
    -------
    ndarray
        (N, n_max) :math:`\|\partial f/\partial X_i\|_2` or :math:`\|\partial f/\partial h_i\|_2`,
        f the logit.

    Raises
    ------
    UserError
        For an unknown `of`.

    Notes
    -----
    One backward pass of the summed logits serves a whole chunk of documents. The probability's
    gradient is σ′(f) times the logit's, so the shares of the tokens are the same. With constant
    attention and the linear decoder, ∂f/∂h_i = α_i w: the hidden states' importance is then
    proportional to attention by construction.
    """
    check_choice("of", of, ("inputs", "hidden"))
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
        norms = torch.linalg.vector_norm(slopes, dim=-1) * batch.tokens
        result[rows, : norms.shape[1] - 2] = norms[:, 1:-1].cpu().numpy()
    return result


def leave_one_out(
    classifier: Classifier,
    ids: Ids,
    of: str = "inputs",
    scale: str = "probability",
    memory: int | None = None,
) -> PerToken:
    """How far the output moves when one token, or one hidden state, is removed.

    Parameters
    ----------
    classifier, ids, memory
        As for `attention`.
    of
        ``inputs``: the token is deleted, and the rest of the text closes up;
        ``hidden``: the state is masked before the projection, the others stay.
    scale
        Of the change: probability of the positive class, or logit.

    Returns
    -------
    ndarray
        (N, n_max) |ŷ − ŷ₋ᵢ|. Where both scales are wanted, call `logits_without_each` once and
        `output_change` twice.

    Raises
    ------
    UserError
        For an unknown `of` or `scale`.
    """
    logit, without = logits_without_each(classifier, ids, of, memory)
    return output_change(logit, without, [len(one) - 2 for one in ids], scale)


def output_change(
    logit: Float[np.ndarray, " documents"],
    without: PerToken,
    lengths: Sequence[int] | np.ndarray,
    scale: str = "probability",
) -> PerToken:
    r"""Absolute change of the output, from the logits with and without each token.

    Parameters
    ----------
    logit, without
        (N,) and (N, n_max), as `logits_without_each` returns them.
    lengths
        (N,) number of tokens of each document.
    scale
        ``probability`` or ``logit``.

    Returns
    -------
    ndarray
        (N, n_max), zeros beyond each document's tokens.

    Raises
    ------
    UserError
        For an unknown `scale`.

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


def _table(classifier: Classifier, ids: Ids) -> np.ndarray:
    longest = max((len(one) - 2 for one in ids), default=0)
    return torch.zeros(len(ids), longest, dtype=classifier.embedding.weight.dtype).numpy()


def _forward_chunks(classifier: Classifier, ids: Ids, memory: int | None) -> Iterator[list[int]]:
    """Chunks for a pass through the whole network, with what a backward pass needs of it."""
    size = classifier.settings.embedding_size + 24 * classifier.settings.hidden_size
    width = size * classifier.embedding.weight.element_size()
    # A Transformer holds two layers' (time, time) weights as well, some of them several times.
    return chunks(
        ids, lambda time: time * (width + 64 * time), memory_bound(memory, classifier.device)
    )
