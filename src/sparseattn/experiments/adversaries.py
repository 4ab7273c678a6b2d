"""A spec and the runs it rests on → everything an adversary holds."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import numpy as safetensors_numpy

from sparseattn import arithmetic
from sparseattn.attribution.importance import gradient_importance
from sparseattn.data.tasks import Documents, Task
from sparseattn.experiments.making import origin, reproducible, timed
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import AdversarySpec
from sparseattn.files import CURVE, DOCUMENTS, TRACES
from sparseattn.measures.kendall import kendall_tau
from sparseattn.models.adversary import diverge, hold_against, respond, scores, uniform
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import Progress, resolve_device


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
    with reproducible(spec.device):
        base = runs[0].classifier().to(resolve_device(spec.device))
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
        gradient = gradient_importance(classifier, documents.ids)
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
