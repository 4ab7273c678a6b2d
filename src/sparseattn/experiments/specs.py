"""`Spec`: what fully determines a run, and the hash that names it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from sparseattn.attribution.importance import IMPORTANCE_VERSION
from sparseattn.attribution.influence import INFLUENCE_VERSION
from sparseattn.data.corpora import SOURCES
from sparseattn.data.tasks import check_task
from sparseattn.data.vectors import VECTORS_VERSION, check_vectors
from sparseattn.experiments.observation import OBSERVATION_VERSION
from sparseattn.models.training import TRAINING_VERSION, TrainingSettings

FORMAT = 1  # of a run's files


class Spec(TrainingSettings):
    """What fully determines a run: the task, the classifier, its training, what is observed.

    Parameters
    ----------
    task, task_options
        See `data.tasks.load_task`.
    observed
        How many documents of the test split are observed token by token, chosen by the hashes
        of their keys.

    Notes
    -----
    The identity of a run holds the task's fingerprint in place of its name and options, so one
    file of texts is one task wherever it lies; likewise a file of vectors stands for its content.
    The ``device`` is left out: another device, like another machine, gives the same numbers after
    rounding, and the manifest says which it was.
    """

    task: str = "planted"
    task_options: dict[str, Any] = Field(default={})
    observed: int = Field(default=300, ge=1)

    @field_validator("task_options")
    @classmethod
    def _as_json(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(json.loads(json.dumps(options, allow_nan=False)))
        except (TypeError, ValueError):
            raise ValueError("plain numbers, texts, booleans and lists of them") from None

    @model_validator(mode="after")
    def _names_exist(self) -> "Spec":
        # Not whether files are there: a stored spec stays readable when they are gone.
        check_task(self.task, self.task_options, available=False)
        check_vectors(self.vectors, available=False)
        return self

    def __hash__(self) -> int:
        return hash(self.canonical())

    @property
    def label(self) -> str:
        """The classifier in words, without its seed."""
        sparsity = {"sparsegen": f" λ={self.lam}", "entmax": f" α={self.alpha}"}
        projection = self.projection + sparsity.get(self.projection, "")
        return f"{self.encoder}, {self.alignment}, {projection}"

    def canonical(self) -> str:
        """Return the spec as JSON: keys sorted, no spaces, floats in their shortest exact form."""
        return canonical(self.model_dump(mode="json"))

    def key(self, task_fingerprint: str) -> str:
        """Return the run's short name: the first 16 digits of its identity."""
        return self.identity(task_fingerprint)[:16]

    def identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that the run's numbers depend on.

        Parameters
        ----------
        task_fingerprint
            `data.tasks.Task.fingerprint`.
        """
        content = {**self._content(task_fingerprint), "observed": self.observed, "format": FORMAT}
        return sha256({**content, "versions": self.versions()})

    def training_identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that the weights depend on; runs that share it share them."""
        return sha256({**self._content(task_fingerprint), "versions": self._training_versions()})

    def versions(self) -> dict[str, int]:
        """Return the versions of the stages that the run's numbers depend on."""
        return {
            **self._training_versions(),
            "importance": IMPORTANCE_VERSION,
            "influence": INFLUENCE_VERSION,
            "observation": OBSERVATION_VERSION,
        }

    def _training_versions(self) -> dict[str, int]:
        vectors = {} if self.vectors == "random" else {"vectors": VECTORS_VERSION}
        return {"training": TRAINING_VERSION, **vectors}

    def _content(self, task_fingerprint: str) -> dict[str, Any]:
        values = self.model_dump(
            mode="json", exclude={"task", "task_options", "device", "observed"}
        )
        if self.vectors == "imdb":  # its texts are split into words as the task's are
            values["vectors"] = f"imdb, split as {self.task if self.task in SOURCES else 'plain'}"
        elif self.vectors not in ("random", "task"):
            check_vectors(self.vectors)
            content = Path(self.vectors).expanduser().read_bytes()
            values["vectors"] = hashlib.sha256(content).hexdigest()
        return {**values, "task": task_fingerprint}


def canonical(value: object) -> str:
    """Return JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
