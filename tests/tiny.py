"""A run of a moment, for the tests of the store and of sweeps; importable by their processes."""

import json
import time
from pathlib import Path

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
