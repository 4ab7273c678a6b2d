"""`Spec` → `Run`: what was trained and observed, and the store that keeps it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from sparseattn.data.tasks import Documents, Task
from sparseattn.errors import validate
from sparseattn.experiments.making import estimated_size, make
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Kept, Storage
from sparseattn.files import CURVE, TRACES, WEIGHTS, DamagedRunError, read_manifest
from sparseattn.measures.per_document import measure
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import Progress

__all__ = ["DamagedRunError", "Run", "Spec", "Store"]


@dataclass(eq=False)
class Run(Kept[Spec]):
    """One trained and observed classifier, as stored.

    Parameters
    ----------
    spec
        What determined it.
    key
        Its identity, 16 hexadecimal digits.
    path
        Its folder.
    manifest
        ``spec``, ``key``, ``identity``, ``training_identity``, ``trained_in`` (the key of the run
        whose weights were taken over, or its own), ``versions``, ``packages``, ``code``,
        ``hardware``, ``device``, ``threads``, ``task`` (``name``, ``fingerprint``, ``splits``,
        ``deviations``), ``accuracy`` and ``auc`` on the whole test split, the same on ``dev``,
        ``best_epoch``, ``seconds`` (wall time of each stage), ``cpu_seconds`` (processor time of
        all, None where the weights were taken over), ``date`` (UTC), ``files`` (bytes of each).
    """

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The learning curve, one row an epoch; see `models.training.Fitted`."""
        return pd.DataFrame(json.loads(self._read(CURVE)))

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """What was observed, by name; see `experiments.observation.observe`."""
        return dict(safetensors_numpy.load(self._read(TRACES)))

    def measurements(self) -> pd.DataFrame:
        """Return one row a document, one column a quantity; see `measures.per_document.measure`."""
        return self._measured.copy()

    @cached_property
    def _measured(self) -> pd.DataFrame:
        return measure(self.traces, self.traces["lengths"])

    def classifier(self) -> Classifier:
        """Return the trained classifier, on the CPU, in evaluation mode."""
        # Copied, for in the file numbers do not lie where the fastest instructions want them.
        weights = {
            name: one.clone() for name, one in safetensors_torch.load(self._read(WEIGHTS)).items()
        }
        with torch.device("meta"):  # nothing is drawn, so no random state is touched
            classifier = Classifier(self.spec, len(weights["embedding.weight"]))
        classifier.load_state_dict(weights, assign=True)
        return classifier.eval()

    def documents(self, task: Task) -> Documents:
        """Return the observed documents, in the order of the traces."""
        return task.test.sample(self.spec.observed)

    @property
    def stored(self) -> bool:
        """Whether its traces and weights are here, not just its published measurements."""
        return (self.path / WEIGHTS).is_file()

    @property
    def _storage(self) -> "Store":
        return Store(self.path.parents[1])


class Store(Storage[Spec, Run]):
    """A folder of runs; ``vectors/`` in it keeps initial word vectors, which runs share."""

    KIND, NOUN = "runs", "Run"

    def parse(self, spec: str) -> Spec:
        """Return a spec from its JSON."""
        return Spec.model_validate_json(spec)

    def _kept(self, path: Path, manifest: dict[str, Any]) -> Run:
        return Run(validate(Spec, manifest["spec"]), path.name, path, manifest)

    def _size(self, spec: Spec, task: Task) -> int:
        return estimated_size(spec, task)

    def _make(
        self, spec: Spec, task: Task, progress: Progress | None
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        earlier = self._trained(spec.training_identity(task.fingerprint))
        return make(spec, task, earlier, progress, self.root / "vectors")

    def _trained(self, training_identity: str) -> Run | None:
        """Return a run whose weights are those wanted, if there is a whole one."""
        for folder in self.stored():
            try:
                if read_manifest(folder)["training_identity"] == training_identity:
                    return self._load(folder.name, weights=True)
            except DamagedRunError:
                continue
        return None
