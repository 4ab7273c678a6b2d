"""A spec and its task → everything a run holds: trained weights, traces, and their origin."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from sparseattn.data.tasks import Task
from sparseattn.experiments import machine
from sparseattn.experiments.observation import observe, reproducible
from sparseattn.experiments.specs import Spec
from sparseattn.files import CURVE, TRACES, WEIGHTS
from sparseattn.models.training import Progress, evaluate, fit, resolve_device

if TYPE_CHECKING:
    from sparseattn.experiments.runs import Run


def make(
    spec: Spec,
    task: Task,
    trained: "Run | None" = None,
    progress: Progress | None = None,
    vectors: Path | None = None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train a classifier and observe it.

    Parameters
    ----------
    spec
        What to make.
    task
        Its task.
    trained
        A run with the same weights, which are then taken over.
    progress
        Called after each epoch, see `models.training.fit`.
    vectors
        A folder in which initial vectors are kept for other runs.

    Returns
    -------
    tuple
        The contents of the run's files by name, and its manifest (see `experiments.runs.Run`).
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
        "device": classifier.device.type,
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


def estimated_size(spec: Spec, task: Task) -> int:
    """Return the bytes a run takes at most: embedding, encoder, some 14 numbers a token."""
    weights = len(task.vocabulary) * spec.embedding_size
    encoder = 16 * spec.hidden_size * (spec.embedding_size + 2 * spec.hidden_size)
    widest = max(len(ids) for ids in task.test.ids)
    return 4 * (weights + encoder + 14 * min(spec.observed, len(task.test)) * widest) + 2**20


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
