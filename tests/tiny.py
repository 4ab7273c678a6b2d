"""A run of a moment, for the tests of the store and of sweeps; importable by their processes."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from sparseattn.data.tasks import load_task
from sparseattn.errors import validate
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Store

OPTIONS = {"length": [6, 12], "cues": 1, "distractors": 1, "documents": [48, 16, 16]}
SETTINGS = {
    "task_options": OPTIONS, "encoder": "bilstm", "embedding_size": 12, "hidden_size": 8,
    "epochs": 2, "observed": 6, "device": "cpu",
}  # fmt: skip


def spec(**changes):
    return validate(Spec, {**SETTINGS, **changes})


def task():
    return load_task("planted", OPTIONS)


def hang_after_an_epoch(root: str, sign: str) -> None:
    """Begin a run, say so, and never end."""

    def hang(*_):
        Path(sign).touch()
        time.sleep(600)

    Store(root).compute(spec(), task(), hang)


def compute_and_log(root: str, log: str) -> None:
    """Compute a run and write a line for each epoch trained."""

    def note(*epoch):
        with open(log, "a") as file:
            print(json.dumps(epoch[0]), file=file)
        time.sleep(0.2)  # so that the other process meets it under way

    Store(root).compute(spec(), task(), note)


def measured(task, projections=("softmax", "sparsemax"), seeds=2, documents=5):
    """Return measurements of one classifier under some projections, a row a run and document."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "key": f"{task}{projection}{seed}",
            "task": task,
            "encoder": "bilstm",
            "alignment": "additive",
            "projection": projection,
            "lam": 0.0 if projection == "sparsemax" else np.nan,
            "alpha": None,
            "seed": seed,
            "classifier": "BiLSTM, additive",
            "sparsity": projection,
            "document": document,
            "length": 20.0,
            "influence_dispersion": rng.uniform(0.9, 0.95),
            "label": float(document < 3),
            "correct": float(document < 4),
            "chance": document / 10,
        }
        for projection in projections
        for seed in range(seeds)
        for document in range(documents)
    ]
    return pd.DataFrame(rows)
