"""A spec and its task → all that a run, or an adversary, holds: weights, traces, their origin."""

import ctypes
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from sparseattn import arithmetic
from sparseattn.attribution import importance
from sparseattn.attribution.influence import influence
from sparseattn.attribution.kernels import flushes_denormals
from sparseattn.data.tasks import Documents, Task
from sparseattn.experiments import machine
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import AdversarySpec, Spec
from sparseattn.files import CURVE, DOCUMENTS, TRACES, WEIGHTS
from sparseattn.measures.kendall import kendall_tau
from sparseattn.measures.per_document import INFLUENCES, influence_summary
from sparseattn.models.adversary import diverge, hold_against, respond, scores, uniform
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import Progress, evaluate, fit, predict, resolve_device

# malloc.h of the GNU C library; see mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def make_run(
    spec: Spec,
    task: Task,
    trained: Run | None = None,
    progress: Progress | None = None,
    vectors: Path | None = None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train a classifier and observe it.

    A run `trained` with the same weights has these taken over; `progress` is called after each
    epoch (`models.training.fit`); in the folder `vectors` initial vectors are kept for other runs.
    Returns the contents of the run's files by name, and its manifest (`experiments.runs.Run`).
    """
    seconds: dict[str, float] = {}
    start = time.process_time()
    with reproducible(spec.device):
        if trained:
            classifier = trained.classifier().to(resolve_device(spec.device))
            curve, best_epoch = trained.curve, trained.manifest["best_epoch"]
            seconds["train"] = trained.manifest["seconds"]["train"]
        else:
            with timed(seconds, "train"):
                fitted = fit(spec, task, progress, vectors)
            classifier, curve, best_epoch = fitted.classifier, fitted.curve, fitted.best_epoch
        with timed(seconds, "evaluate"):
            dev, test = (_scores(evaluate(classifier, one)) for one in (task.dev, task.test))
        traces = observe(classifier, task.test.sample(spec.observed), seconds)
    weights = {name: one.cpu().clone() for name, one in classifier.state_dict().items()}
    files = {
        CURVE: json.dumps(curve.to_dict("list")).encode(),
        TRACES: safetensors_numpy.save(traces),
        WEIGHTS: safetensors_torch.save(weights),
    }
    key = spec.key(task.fingerprint)
    return files, {
        "key": key,
        "spec": spec.model_dump(mode="json"),
        "task": {
            "name": task.name,
            "fingerprint": task.fingerprint,
            "splits": task.summary(),
            "deviations": list(task.deviations),
        },
        **test,
        "dev": dev,
        "best_epoch": best_epoch,
        # Unlike the wall time, the same however busy the machine was.
        "cpu_seconds": None if trained else round(time.process_time() - start, 3),
        "device": arithmetic.device(classifier.device.type),
        "versions": spec.versions(),
        **origin(seconds),
        "identity": spec.identity(task.fingerprint),
        "training_identity": spec.training_identity(task.fingerprint),
        "trained_in": trained.key if trained else key,
    }


def origin(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return what made a result, as manifests hold it; `seconds` are those of each stage."""
    return {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "date": datetime.now(UTC).isoformat(),
        "threads": 1,
        "hardware": machine.hardware(),
        "packages": machine.packages(),
        "code": machine.code(),
    }


def _scores(evaluation: dict[str, float]) -> dict[str, float | None]:
    return {
        name: None if math.isnan(evaluation[name]) else evaluation[name]
        for name in ("accuracy", "auc")
    }


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note the wall time of a stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


def observe(
    classifier: Classifier, documents: Documents, seconds: MutableMapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """Return the traces of N documents, the longest of n tokens.

    `classifier` is in evaluation mode; `seconds` receives the wall time of ``importance`` and
    ``influence``.

    Returns
    -------
    dict
        float32 (N, n), zero beyond a document's tokens: ``attention``;
        ``{inputs,hidden}_gradient`` and ``…_gradient_fixed`` (attention weights held constant);
        ``inputs_product`` and ``…_product_fixed`` (the gradient times the embedding);
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
        "attention": importance.attention(classifier, ids),
    }
    for name, through in (("inputs_product", True), ("inputs_product_fixed", False)):
        traces[name] = importance.gradient_importance(
            classifier, ids, through_attention=through, times_embedding=True
        )
    for of in ("inputs", "hidden"):
        traces[f"{of}_gradient"] = importance.gradient_importance(classifier, ids, of)
        traces[f"{of}_gradient_fixed"] = importance.gradient_importance(
            classifier, ids, of, through_attention=False
        )
        # The costly part, once.
        logit, without = importance.logits_without_each(classifier, ids, of)
        traces[f"{of}_loo"] = importance.output_change(logit, without, lengths, "probability")
        traces[f"{of}_loo_logit"] = importance.output_change(logit, without, lengths, "logit")
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
    """Compute on ``auto``, ``cpu`` or ``cuda`` so that any processor gives the same bits.

    One torch thread (sums do not depend on how many cores there are), denormal numbers flushed to
    zero, the processor's make kept out of products and roots (:func:`arithmetic.portable`), and, on
    CUDA, deterministic algorithms in full float32 precision. What the caller had set of threads,
    flags and random state is put back afterwards.
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
            arithmetic.portable(),
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


@cache
def keep_freed_memory() -> None:
    """Have this process keep the memory that it frees, where it has the GNU C library.

    Handing large tensors back to the system and fetching them anew costs up to two thirds of the
    time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or none to ask
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_TOP_PAD, 64 * 2**20)


def make_adversary(
    spec: AdversarySpec,
    task: Task,
    runs: Sequence[Run],
    progress: Progress | None = None,
    vectors: Path | None = None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train an adversary, or take a control, and hold it against its base.

    `runs` are those of ``spec.runs``, the base first; the rest as for
    `experiments.making.make_run`. Returns the contents of its files by name, and its manifest
    (`experiments.runs.Adversary`).
    """
    seconds = dict[str, float]()
    curve, best_epoch, start = pd.DataFrame(), None, time.process_time()
    with reproducible(spec.base.device):
        base = runs[0].classifier().to(resolve_device(spec.base.device))
        with timed(seconds, "train"):
            if spec.variant == "uniform":
                other = uniform(base)
            elif spec.variant == "reseeded":
                other = runs[1].classifier().to(base.device)
            else:
                fitted = diverge(base, spec.base, task, spec, progress, vectors)
                other, curve, best_epoch = fitted.classifier, fitted.curve, fitted.best_epoch
        with timed(seconds, "observe"):
            dev = scores(respond(other, task.dev), respond(base, task.dev), task.dev)
            test = task.test.sample(len(task.test))  # in the order of what is observed
            responses = respond(other, test), respond(base, test)
            columns = hold_against(*responses, test)
            observed = test.select(range(min(spec.base.observed, len(test))))
            traces, taus = _observe(other, base, observed)
    for name, tau in taus.items():
        columns[name] = np.full(len(test), np.nan, dtype=np.float32)
        columns[name][: len(tau)] = tau
    files = {
        CURVE: json.dumps(curve.to_dict("list")).encode(),
        TRACES: safetensors_numpy.save(traces),
        DOCUMENTS: safetensors_numpy.save(columns),
    }
    return files, {
        "key": spec.key(task.fingerprint),
        "spec": spec.model_dump(mode="json"),
        "base": runs[0].key,
        "task": {name: runs[0].manifest["task"][name] for name in ("name", "fingerprint")},
        **scores(*responses, test),
        "dev": dev,
        "best_epoch": best_epoch,
        "cpu_seconds": round(time.process_time() - start, 3),
        "device": arithmetic.device(base.device.type),
        "versions": spec.versions(),
        **origin(seconds),
        "identity": spec.identity(task.fingerprint),
    }


def _observe(
    other: Classifier, base: Classifier, documents: Documents
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the traces of adversary and base, and the agreements of their rankings."""
    lengths = documents.lengths
    traces = {"lengths": lengths}
    for prefix, classifier in (("", other), ("base_", base)):
        attention = respond(classifier, documents).attention[:, 1:-1]
        traces[f"{prefix}attention"] = attention.cpu().numpy().copy()
        gradient = importance.gradient_importance(classifier, documents.ids)
        traces[f"{prefix}inputs_gradient"] = gradient
    pairs = {
        "tau_gradient": ("inputs_gradient", "base_inputs_gradient"),
        "tau_attention": ("attention", "base_attention"),
        "tau_inputs_gradient": ("attention", "inputs_gradient"),
        "base_tau_inputs_gradient": ("base_attention", "base_inputs_gradient"),
    }
    taus = {
        name: kendall_tau(traces[one].astype(np.float64), traces[two].astype(np.float64), lengths)
        for name, (one, two) in pairs.items()
    }
    return traces, taus
