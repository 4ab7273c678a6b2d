"""What a trained classifier does on documents, token by token; and how it is made to repeat."""

import os
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import numpy as np
import torch

from sparseattn.attribution.importance import (
    attention,
    gradient_importance,
    logits_without_each,
    output_change,
)
from sparseattn.attribution.influence import influence
from sparseattn.attribution.kernels import flushes_denormals
from sparseattn.data.tasks import Documents
from sparseattn.measures.per_document import INFLUENCES, influence_summary
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import predict, resolve_device

OBSERVATION_VERSION = 1
"""Raise when the same classifier and documents give other traces, though no stage below changed."""


def observe(
    classifier: Classifier, documents: Documents, seconds: MutableMapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """Return the traces of documents.

    Parameters
    ----------
    classifier
        Trained, in evaluation mode.
    documents
        N documents, the longest of n tokens.
    seconds
        Receives the wall time of ``importance`` and ``influence``.

    Returns
    -------
    dict
        float32 (N, n), zero beyond a document's tokens: ``attention``;
        ``{inputs,hidden}_gradient`` and ``…_gradient_fixed`` (attention weights held constant);
        ``{inputs,hidden}_loo`` and ``…_loo_logit`` (change of probability, of the logit);
        ``influence_{dispersion,self_share,self_rank,window_share}`` of each hidden state.
        bool (N, n): ``evidence``, where it is known. (N,): ``lengths`` (int64), ``labels`` and
        ``logit`` (float32).
    """
    seconds = {} if seconds is None else seconds
    ids = list(documents.ids)
    lengths = documents.lengths
    start = time.perf_counter()
    traces: dict[str, np.ndarray] = {
        "lengths": lengths,
        "labels": documents.labels.numpy().astype(np.float32),
        "logit": predict(classifier, documents).numpy(),
        "attention": attention(classifier, ids),
    }
    for of in ("inputs", "hidden"):
        traces[f"{of}_gradient"] = gradient_importance(classifier, ids, of)
        traces[f"{of}_gradient_fixed"] = gradient_importance(
            classifier, ids, of, through_attention=False
        )
        logit, without = logits_without_each(classifier, ids, of)  # the costly part, once
        traces[f"{of}_loo"] = output_change(logit, without, lengths, "probability")
        traces[f"{of}_loo_logit"] = output_change(logit, without, lengths, "logit")
    seconds["importance"] = time.perf_counter() - start

    start = time.perf_counter()
    shape = (len(ids), int(lengths.max(initial=0)))
    for name in INFLUENCES:
        traces[name] = np.zeros(shape, dtype=np.float32)
    for row, one in enumerate(ids):  # one at a time: the matrices are large, their summaries not
        (matrix,) = influence(classifier, [one])
        for name, values in influence_summary(matrix.astype(np.float64)).items():
            traces[name][row, : lengths[row]] = values
    seconds["influence"] = time.perf_counter() - start

    if documents.evidence is not None:
        traces["evidence"] = np.zeros(shape, dtype=bool)
        for row, evidence in enumerate(documents.evidence):
            traces["evidence"][row, : lengths[row]] = evidence.numpy()
    return traces


@contextmanager
def reproducible(device: str = "cpu") -> Iterator[None]:
    """Compute so that the same machine gives the same bits, whatever the caller had set.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.

    Notes
    -----
    One torch thread (sums do not depend on how many cores there are), denormal numbers flushed to
    zero, and, on CUDA, deterministic algorithms in full float32 precision. Threads, flags and
    random state are put back afterwards.
    """
    cuda = resolve_device(device).type == "cuda"
    threads, flushed = torch.get_num_threads(), flushes_denormals()
    deterministic = torch.are_deterministic_algorithms_enabled()
    workspace = "CUBLAS_WORKSPACE_CONFIG"
    try:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        if cuda:
            os.environ.setdefault(workspace, ":4096:8")  # read when CUDA's library starts
            torch.use_deterministic_algorithms(True, warn_only=True)
        with (
            torch.random.fork_rng(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)
