"""`Run`, and what rests on one: what was trained and observed, as stored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from sparseattn import files
from sparseattn.data.tasks import Documents, Task
from sparseattn.errors import UserError
from sparseattn.experiments.specs import AdversarySpec, AnySpec, ExaminationSpec, Spec
from sparseattn.measures.per_document import measure
from sparseattn.models.classifier import Classifier, assembled

QUANTITIES = (
    "length", "label", "logit", "base_logit", "jsd", "jsd_disjoint", "jsd_ceiling",
    "tau_gradient", "tau_attention", "tau_inputs_gradient", "base_tau_inputs_gradient",
)  # fmt: skip


Content = TypeVar("Content")


@dataclass(eq=False)
class Kept:
    """What is stored of a spec; either kind reads its files when they are first asked for."""

    spec: AnySpec  # what determined it
    key: str  # its identity, 16 hexadecimal digits
    path: Path  # its folder
    manifest: dict[str, Any]  # what it is, and where it comes from

    @property
    def label(self) -> str:
        """What it is in words, without its seed."""
        return self.spec.label

    @property
    def state(self) -> str:
        """``current``, or ``outdated``: made by other versions of the stages, hence not used."""
        return "current" if self.manifest["versions"] == self.spec.versions() else "outdated"

    @property
    def seconds(self) -> float:
        """Wall time of all its stages, in seconds."""
        return float(sum(self.manifest["seconds"].values()))

    @property
    def stored(self) -> bool:
        """Whether its files are here, not just its published measurements."""
        return (self.path / files.MANIFEST).is_file()

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The learning curve, one row an epoch; no rows for a control of adversaries.

        See `models.training.Fitted`, `models.adversary.diverge`.
        """
        return pd.DataFrame(self._read(files.CURVE, files.parsed))

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """What was observed of each token, by name.

        Of a run, see `experiments.making.observe`. Of an adversary, (N, n) float32 over the base's
        observed documents: its ``attention`` and ``inputs_gradient``, ``base_attention`` and
        ``base_inputs_gradient``; and ``lengths``.
        """
        return self._read(files.TRACES, safetensors_numpy.load)

    def measurements(self) -> pd.DataFrame:
        """Return one row a document, one column a quantity; NaN where it was not asked.

        Of a run see `measures.per_document.measure`, of others `_measured`.
        """
        return self._measured.copy()

    @cached_property
    def _measured(self) -> pd.DataFrame:
        raise NotImplementedError

    def _read(self, name: str, parse: Callable[[bytes], Content]) -> Content:
        def content(path: Path) -> Content:
            try:
                return parse(files.read(path, name))
            except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
                raise files.DamagedRunError(f"{name} is not what a run holds: {error}") from None

        try:
            return content(self.path)
        except files.DamagedRunError as damage:
            files.set_aside(self.path, damage, content)
            raise UserError(
                f"{type(self).__name__} {self.key} is damaged ({damage}) and was set aside. "
                "Run the same command again to compute it anew."
            ) from None


@dataclass(eq=False)
class Run(Kept):
    """One trained and observed classifier.

    Its manifest holds ``spec``, ``key``, ``identity``, ``training_identity``, ``trained_in`` (the
    key of the run whose weights were taken over, or its own), ``versions``, ``packages``, ``code``,
    ``hardware``, ``device``, ``threads``, ``task`` (``name``, ``fingerprint``, ``splits``,
    ``deviations``), ``accuracy`` and ``auc`` on the whole test split, the same on ``dev``,
    ``best_epoch``, ``seconds`` (wall time of each stage), ``cpu_seconds`` (processor time of all,
    None where the weights were taken over), ``date`` (UTC), ``files`` (bytes of each).
    """

    spec: Spec

    @cached_property
    def _measured(self) -> pd.DataFrame:
        return measure(self.traces, self.traces["lengths"])

    def classifier(self) -> Classifier:
        """Return the trained classifier, on the CPU, in evaluation mode."""
        return self._read(files.WEIGHTS, self._assembled)

    def _assembled(self, content: bytes) -> Classifier:
        # Copied, for in the file numbers do not lie where the fastest instructions want them.
        weights = {name: one.clone() for name, one in safetensors_torch.load(content).items()}
        return assembled(self.spec, weights)

    def documents(self, task: Task) -> Documents:
        """Return the observed documents, in the order of the traces."""
        return task.test.sample(self.spec.observed)


@dataclass(eq=False)
class Adversary(Kept):
    """An adversary held against its base: its numbers, not its weights.

    Its manifest is as of a `Run`; besides ``base`` (the base run's key) and, on the whole test
    split and on ``dev``, ``accuracy``, ``base_accuracy``, ``accuracy_change``, ``jsd`` (mean, nats)
    and ``agreement`` (share of documents decided as the base does).
    """

    spec: AdversarySpec

    @cached_property
    def _measured(self) -> pd.DataFrame:
        """One row for each document of the whole test split: float64, index ``document``.

        Counted as in the base's measurements, so that those observed come first. ``length``,
        ``label``; ``logit``, ``base_logit``; ``correct``; those of `models.adversary.hold_against`.
        For observed documents, else NaN, τ-b: ``tau_gradient`` between the gradient importances of
        the inputs in adversary and base, ``tau_attention`` between their attentions,
        ``tau_inputs_gradient`` and ``base_tau_inputs_gradient`` of attention with the importance in
        each.
        """
        columns = self._read(files.DOCUMENTS, safetensors_numpy.load)  # in no order
        frame = pd.DataFrame({name: columns[name] for name in QUANTITIES})
        frame = frame.astype(np.float64).rename_axis("document")
        correct = (frame["logit"] > 0) == (frame["label"] > 0.5)
        return frame.assign(correct=correct.astype(np.float64))


@dataclass(eq=False)
class Examination(Kept):
    """What was asked of a run's documents beyond its traces: see `experiments.examinations`.

    Its manifest is as of an `Adversary`, without scores.
    """

    spec: ExaminationSpec

    @cached_property
    def _measured(self) -> pd.DataFrame:
        columns = self._read(files.DOCUMENTS, safetensors_numpy.load)  # in no order
        return pd.DataFrame({name: columns[name] for name in sorted(columns)}).rename_axis(
            "document"
        )


Result: TypeAlias = Run | Adversary | Examination
RESULTS: dict[type[AnySpec], Any] = {
    Spec: Run, AdversarySpec: Adversary, ExaminationSpec: Examination
}  # fmt: skip
"""What is kept of each kind of spec."""
