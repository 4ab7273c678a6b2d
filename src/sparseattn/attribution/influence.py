r"""What each hidden state owes each input: all positions' adjoints in one backward recurrence.

Both functions take N documents as token ids (BEGIN, n tokens, END) and return for each an (n, n)
array: row p, column i is what state h_p owes embedding X_i, not normalised, markers left out.
``memory`` are the bytes that the work on a document may take beside its result, by default fit to
the device. Exact: the adjoints are those of automatic differentiation, but every step backwards
through the encoder is taken by all positions p together. Without an encoder it is the identity.
"""

import math

import numpy as np
import torch
from jaxtyping import Float

from sparseattn.attribution.kernels import Ids, at_once, directions, halves, memory_bound
from sparseattn.attribution.lstm import bilstm_norms
from sparseattn.attribution.pretrained import minilm_norms
from sparseattn.attribution.transformer import transformer_norms
from sparseattn.models.classifier import BiLSTM, Classifier, Transformer
from sparseattn.models.pretrained import MiniLM

INFLUENCE_VERSION = 2  # 2: the same on any processor with AVX2

Influence = Float[np.ndarray, "states inputs"]


def influence(classifier: Classifier, ids: Ids, memory: int | None = None) -> list[Influence]:
    r"""Return lengths of gradients of states' norms, :math:`\|\partial\|h_p\|_2/\partial X_i\|_2`.

    A state that is exactly zero has no direction and influence 0. In float32 an influence below
    about 1e-22 reads 0, as its square does.
    """
    return _each(classifier, ids, memory, whole=False)


def jacobian_influence(
    classifier: Classifier, ids: Ids, memory: int | None = None
) -> list[Influence]:
    r"""Return Frobenius norms of states' Jacobians, :math:`\|\partial h_p/\partial X_i\|_F`.

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
            document = document.to(classifier.device)
            embedded = classifier.embedding(document)
            if isinstance(encoder, BiLSTM):
                norms = bilstm_norms(encoder, embedded, whole, bound, both)
            elif isinstance(encoder, Transformer):
                norms = transformer_norms(encoder, embedded, whole, bound)
            elif isinstance(encoder, MiniLM):
                step = at_once(classifier, len(document), bound)
                norms = minilm_norms(encoder, embedded, document, whole, step)
            elif whole:  # h_p is X_p
                norms = torch.eye(len(embedded) - 2).to(embedded) * math.sqrt(embedded.shape[-1])
            else:
                norms = torch.diag(torch.linalg.vector_norm(directions(embedded[1:-1]), dim=-1))
            result.append(norms.cpu().numpy())
    return result
