"""Adversaries as kept: what determines one, what it does to each document, the store of them."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import model_validator
from safetensors import numpy as safetensors_numpy

from sparseattn.attribution.importance import IMPORTANCE_VERSION, gradient_importance
from sparseattn.data.tasks import Documents, Task
from sparseattn.errors import UserError, validate
from sparseattn.experiments.making import origin, timed
from sparseattn.experiments.observation import reproducible
from sparseattn.experiments.runs import Store
from sparseattn.experiments.specs import FORMAT, Spec, canonical, sha256
from sparseattn.experiments.store import Kept, Storage
from sparseattn.files import CURVE, TRACES
from sparseattn.measures.kendall import kendall_tau
from sparseattn.models.adversary import (
    ADVERSARY_VERSIONS,
    OWN_RATE,
    PRESSURE,
    AdversarySettings,
    diverge,
    hold_against,
    respond,
    scores,
    uniform,
)
from sparseattn.models.classifier import Classifier
from sparseattn.models.training import Progress, resolve_device

TRAINED = ("frozen", "unfrozen")
CONTROLS = ("reseeded", "uniform")
DOCUMENTS = "documents.safetensors"
QUANTITIES = (
    "length", "label", "logit", "base_logit", "jsd", "jsd_disjoint", "jsd_ceiling",
    "tau_gradient", "tau_attention", "tau_inputs_gradient", "base_tau_inputs_gradient",
)  # fmt: skip


class AdversarySpec(AdversarySettings):
    """What fully determines an adversary: its base run, and how it is trained against it.

    Left out, ``seed`` and ``patience`` are the base's. A frozen adversary, which has few parameters
    and costs little, gets twice the base's epochs and ten times its learning rate (the ratio that
    the paper, too, allows for the attention's own parameters); an unfrozen one gets the base's.
    """

    base: Spec

    @model_validator(mode="before")
    @classmethod
    def _as_the_base(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(base := values.get("base"), Spec):
            return values
        few = values.get("variant") == "frozen"
        own = {
            "epochs": base.epochs * (2 if few else 1),
            "patience": base.patience,
            "learning_rate": base.learning_rate * (OWN_RATE if few else 1),
            "seed": base.seed,
        }
        return {**own, **{name: value for name, value in values.items() if value is not None}}

    def __hash__(self) -> int:
        return hash(canonical(self.model_dump(mode="json")))

    @property
    def task(self) -> str:
        """Name or file of the task."""
        return self.base.task

    @property
    def task_options(self) -> dict[str, Any]:
        """Options of the task."""
        return self.base.task_options

    @property
    def encoder(self) -> str:
        """The base's encoder."""
        return self.base.encoder

    @property
    def device(self) -> str:
        """Where it is computed."""
        return self.base.device

    @property
    def label(self) -> str:
        """The adversary in words, without its seed."""
        pressure = f" λ_adv={self.pressure:g}" if self.variant in TRAINED else ""
        return f"{self.base.label}, {self.variant}{pressure}"

    def key(self, task_fingerprint: str) -> str:
        """Return its short name: the first 16 digits of its identity."""
        return self.identity(task_fingerprint)[:16]

    def identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that its numbers depend on."""
        own: dict[str, Any] = {"variant": self.variant}
        if self.variant in TRAINED:
            own = self.model_dump(mode="json", exclude={"base"})
        elif self.variant == "reseeded":
            own["seed"] = self.seed
        base = self.base.training_identity(task_fingerprint)
        content = {**own, "base": base, "observed": self.base.observed, "format": FORMAT}
        return sha256({**content, "versions": self.versions()})

    def versions(self) -> dict[str, int]:
        """Return the versions of the stages beyond the base's training."""
        own = ADVERSARY_VERSIONS.get(self.variant, 1)
        return {"adversary": own, "importance": IMPORTANCE_VERSION}


@dataclass(eq=False)
class Adversary(Kept[AdversarySpec]):
    """An adversary held against its base, as stored: its numbers, not its weights.

    Parameters
    ----------
    spec
        What determined it.
    key
        Its identity, 16 hexadecimal digits.
    path
        Its folder.
    manifest
        As of a `experiments.runs.Run`; besides ``base`` (the base run's key) and, on the whole test
        split and on ``dev``, ``accuracy``, ``base_accuracy``, ``accuracy_change``, ``jsd`` (mean,
        nats) and ``agreement`` (share of documents decided as the base does).
    """

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The learning curve, see `models.adversary.diverge`; no rows for a control."""
        return pd.DataFrame(json.loads(self._read(CURVE)))

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """Per token of the base's observed documents, (N, n) float32.

        ``attention`` and ``inputs_gradient`` of the adversary, ``base_attention`` and
        ``base_inputs_gradient``; and ``lengths``.
        """
        return dict(safetensors_numpy.load(self._read(TRACES)))

    def measurements(self) -> pd.DataFrame:
        """Return one row for each document of the whole test split.

        Returns
        -------
        DataFrame
            float64, index ``document``, counted as in the base's measurements, so that those
            observed come first. ``length``, ``label``; ``logit``, ``base_logit``; ``correct``;
            those of `models.adversary.hold_against`. For observed documents, else NaN, τ-b:
            ``tau_gradient`` between the gradient importances of the inputs in adversary and base,
            ``tau_attention`` between their attentions, ``tau_inputs_gradient`` and
            ``base_tau_inputs_gradient`` of attention with the importance in each.
        """
        return self._measured.copy()

    @cached_property
    def _measured(self) -> pd.DataFrame:
        columns = safetensors_numpy.load(self._read(DOCUMENTS))  # in no order
        frame = pd.DataFrame({name: columns[name] for name in QUANTITIES})
        frame = frame.astype(np.float64).rename_axis("document")
        correct = (frame["logit"] > 0) == (frame["label"] > 0.5)
        return frame.assign(correct=correct.astype(np.float64))

    @property
    def stored(self) -> bool:
        """Whether its traces are here, not just its published measurements."""
        return (self.path / TRACES).is_file()

    @property
    def _storage(self) -> "Adversaries":
        return Adversaries(self.path.parents[1])


class Adversaries(Storage[AdversarySpec, Adversary]):
    """The adversaries of a store of runs; base runs that it lacks are computed first."""

    KIND, NOUN = "adversaries", "Adversary"

    def parse(self, spec: str) -> AdversarySpec:
        """Return a spec from its JSON."""
        return AdversarySpec.model_validate_json(spec)

    def _kept(self, path: Path, manifest: dict[str, Any]) -> Adversary:
        return Adversary(stored_spec(manifest["spec"]), path.name, path, manifest)

    def _size(self, spec: AdversarySpec, task: Task) -> int:
        widest = max(len(ids) for ids in task.test.ids)
        observed = min(spec.base.observed, len(task.test))
        return 4 * (12 * len(task.test) + 4 * observed * widest) + 2**20

    def _make(
        self, spec: AdversarySpec, task: Task, progress: Progress | None
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        store, seconds = Store(self.root), dict[str, float]()
        run = store.compute(spec.base, task)
        curve, best_epoch, start = pd.DataFrame(), None, time.process_time()
        with reproducible(spec.device):
            base = run.classifier().to(resolve_device(spec.device))
            with timed(seconds, "train"):
                if spec.variant == "uniform":
                    other = uniform(base)
                elif spec.variant == "reseeded":
                    seeded = validate(Spec, {**spec.base.model_dump(), "seed": spec.seed})
                    other = store.compute(seeded, task).classifier().to(base.device)
                else:
                    vectors = store.root / "vectors"
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
            "base": run.key,
            "task": {name: run.manifest["task"][name] for name in ("name", "fingerprint")},
            **scores(*responses, test),
            "dev": dev,
            "best_epoch": best_epoch,
            "cpu_seconds": round(time.process_time() - start, 3),
            "device": base.device.type,
            "versions": spec.versions(),
            **origin(seconds),
            "identity": spec.identity(task.fingerprint),
        }


def stored_spec(values: Mapping[str, Any]) -> AdversarySpec:
    """Return a spec from what a manifest holds."""
    return validate(AdversarySpec, {**values, "base": validate(Spec, values["base"])})


def grid(
    bases: Sequence[Spec],
    variants: Sequence[str] = TRAINED,
    pressures: Sequence[object] = (PRESSURE,),
    **settings: Any,
) -> list[AdversarySpec]:
    """Return the specs of adversaries against each of several base runs, each once.

    Parameters
    ----------
    bases
        Specs of the base runs.
    variants
        See `models.adversary.AdversarySettings`. The other seed of a ``reseeded`` control is
        the next one that `bases` have of the same classifier, or one more where there is none.
    pressures
        Values of λ_adv, for those that are trained.
    settings
        ``epochs``, ``patience`` or ``learning_rate``, where they shall not follow the base's.

    Raises
    ------
    UserError
        For an unknown variant or setting, or a value out of range.
    """
    if not variants or not pressures:
        raise UserError("Adversaries need at least one of 'variants' and one of 'pressures'.")
    found = []
    for base, variant in product(bases, variants):
        given: dict[str, Any] = {**settings, "base": base, "variant": variant}
        if variant == "reseeded":
            given["seed"] = _next_seed(base, bases)
        for pressure in pressures if variant not in CONTROLS else (PRESSURE,):
            number = float(pressure) if isinstance(pressure, int) else pressure
            found.append(validate(AdversarySpec, {**given, "pressure": number}))
    return list(dict.fromkeys(found))


def bases(specs: Iterable[AdversarySpec]) -> list[Spec]:
    """Return the runs that adversaries are held against, and those of other seeds, each once."""
    found = []
    for spec in specs:
        found.append(spec.base)
        if spec.variant == "reseeded":
            found.append(validate(Spec, {**spec.base.model_dump(), "seed": spec.seed}))
    return list(dict.fromkeys(found))


def _next_seed(base: Spec, bases: Sequence[Spec]) -> int:
    alike = base.model_dump(exclude={"seed"})
    seeds = sorted(one.seed for one in bases if one.model_dump(exclude={"seed"}) == alike)
    others = [seed for seed in seeds if seed != base.seed]
    if not others:
        return base.seed + 1
    return next((seed for seed in others if seed > base.seed), others[0])


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
