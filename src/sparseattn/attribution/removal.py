"""The logit of what is left of a document when tokens are deleted and the text closes up."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparseattn.attribution.kernels import chunks, memory_bound, passing_bytes
from sparseattn.data.words import PAD
from sparseattn.errors import UserError
from sparseattn.models.classifier import Classifier, NoEncoder, collate


def logits_of_subsets(
    classifier: Classifier,
    document: Int[Tensor, " time"],
    keep: Bool[np.ndarray, "subsets tokens"],
    memory: int | None = None,
) -> Float[np.ndarray, " subsets"]:
    """Return the logits (S,), float32, of a document that keeps only some of its tokens.

    Parameters
    ----------
    classifier
        In evaluation mode.
    document
        BEGIN, n tokens, END.
    keep
        (S, n) true on the tokens that stay.
    memory
        Bytes that the texts worked on at a time may take, by default fit to the device.

    Raises
    ------
    UserError
        When `keep` has not one column a token.

    Notes
    -----
    Subsets that leave the same text (without an encoder: the same words) are computed once, and
    have the same logit to the bit. Nothing left has the decoder's bias. What is computed together
    depends on the document and the subsets alone, never on other documents.
    """
    tokens = document[1:-1].cpu().numpy()
    if keep.shape[1:] != tokens.shape:
        raise UserError(
            f"'keep' has {keep.shape[-1]} columns for a document of {len(tokens)} tokens; "
            "give one column a token, none for the markers."
        )
    if isinstance(classifier.encoder, NoEncoder):
        order = np.argsort(tokens, kind="stable")
        tokens, keep = tokens[order], keep[:, order]
    counts = keep.sum(axis=1)
    texts = np.full((len(keep), len(tokens)), PAD, dtype=tokens.dtype)
    texts[np.arange(len(tokens)) < counts[:, None]] = np.broadcast_to(tokens, keep.shape)[keep]
    _, first, place = np.unique(texts, axis=0, return_index=True, return_inverse=True)
    begin, end = document[:1].cpu(), document[-1:].cpu()
    distinct = [
        torch.cat([begin, torch.from_numpy(texts[row, : counts[row]]), end]) for row in first
    ]
    logits = classifier.decoder.bias.detach().cpu().repeat(len(distinct))
    bound = memory_bound(memory, classifier.device)
    with torch.no_grad():
        for rows in chunks(distinct, partial(passing_bytes, classifier), bound):
            batch = collate([distinct[row] for row in rows], classifier.device)
            logits[rows] = classifier(batch).logit.cpu()
    return np.asarray(logits.numpy()[place.reshape(-1)])
