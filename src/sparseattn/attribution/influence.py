"""What each hidden state owes each input: all positions' adjoints in one backward recurrence."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseattn.attribution.halves import halves
from sparseattn.attribution.kernels import directions, memory_bound
from sparseattn.attribution.lstm import bilstm_norms
from sparseattn.attribution.transformer_adjoints import transformer_norms
from sparseattn.models.classifier import BiLSTM, Classifier, Transformer

INFLUENCE_VERSION = 1

Ids = Sequence[Int[Tensor, " _"]]
Influence = Float[np.ndarray, "states inputs"]


def influence(classifier: Classifier, ids: Ids, memory: int | None = None) -> list[Influence]:
    r"""Length of the gradient of each hidden state's norm with respect to each embedding.

    Parameters
    ----------
    classifier
        The model.
    ids
        N documents, each BEGIN, n tokens, END.
    memory
        Bytes that the work on a document may take beside its result; by default fit to the device.

    Returns
    -------
    list of ndarray
        For each document (n, n): row p, column i is
        :math:`\|\partial\|h_p\|_2/\partial X_i\|_2`, not normalised, markers left out. A state
        that is exactly zero has no direction and influence 0.

    Notes
    -----
    Exact: the adjoints are those of automatic differentiation, but every step backwards through
    the encoder is taken by all positions p together. Without an encoder it is the identity.
    In float32 an influence below about 1e-22 reads 0, as its square does.
    """
    return _each(classifier, ids, memory, whole=False)


def jacobian_influence(
    classifier: Classifier, ids: Ids, memory: int | None = None
) -> list[Influence]:
    r"""Frobenius norm of each hidden state's whole Jacobian with respect to each embedding.

    Parameters
    ----------
    classifier, ids, memory
        As for `influence`.

    Returns
    -------
    list of ndarray
        For each document (n, n): row p, column i is :math:`\|\partial h_p/\partial X_i\|_F`.

    Notes
    -----
    The same recurrence as `influence`, with one adjoint for each unit of h_p.
    """
    return _each(classifier, ids, memory, whole=True)


def _each(classifier: Classifier, ids: Ids, memory: int | None, whole: bool) -> list[np.ndarray]:
    encoder = classifier.encoder
    bound = memory_bound(memory, classifier.device)
    result = []
    divide = isinstance(encoder, BiLSTM)
    with torch.no_grad(), halves(classifier.device, divide) as both:
        for document in ids:
            embedded = classifier.embedding(document.to(classifier.device))
            if isinstance(encoder, BiLSTM):
                norms = bilstm_norms(encoder, embedded, whole, bound, both)
            elif isinstance(encoder, Transformer):
                norms = transformer_norms(encoder, embedded, whole, bound)
            else:
                norms = _unencoded(embedded, whole)
            result.append(norms.cpu().numpy())
    return result


def _unencoded(embedded: Tensor, whole: bool) -> Tensor:
    """Return the (n, n) influences where h_p is X_p: the identity, or √(its size) times it."""
    if whole:
        return torch.eye(len(embedded) - 2).to(embedded) * math.sqrt(embedded.shape[-1])
    return torch.diag(torch.linalg.vector_norm(directions(embedded[1:-1]), dim=-1))
