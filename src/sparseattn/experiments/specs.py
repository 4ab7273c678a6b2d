"""What fully determines a run, or what rests on one, and the hash that names it; grids of these."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sparseattn import arithmetic
from sparseattn.attribution.importance import IMPORTANCE_VERSION
from sparseattn.attribution.influence import INFLUENCE_VERSION
from sparseattn.data.corpora import SOURCES, training_texts
from sparseattn.data.files import path_of
from sparseattn.data.tasks import check_task
from sparseattn.data.vectors import GLOVE_SHA256, VECTORS_VERSION, check_vectors
from sparseattn.errors import UserError, among, validate
from sparseattn.models.adversary import ADVERSARY_VERSIONS, OWN_RATE, PRESSURE, AdversarySettings
from sparseattn.models.training import TRAINING_VERSION, TrainingSettings, resolve_device
from sparseattn.wording import Alpha, EncoderName, Lam, ProjectionName, label, projection_name

FORMAT = 1  # of a run's files

OBSERVATION_VERSION = 2
"""Raise when the same classifier and documents give other traces, though no stage below changed."""

EXAMINATION_VERSION = 1
"""Raise when the same classifier and documents give other numbers (`experiments.examinations`)."""

STAGES = {
    "train": "training",
    "evaluate": "scoring",
    "importance": "importance",
    "influence": "influence",
}
"""The stages of a run, as its times are kept, and in words."""

TRAINED = ("frozen", "unfrozen")
CONTROLS = ("reseeded", "uniform")
"""The variants of adversaries, see `models.adversary.AdversarySettings`."""


class Spec(TrainingSettings):
    """What fully determines a run: the task, the classifier, its training, what is observed.

    `observed` counts the documents of the test split that are observed token by token, chosen by
    the hashes of their keys.

    The identity of a run holds the task's fingerprint in place of its name and options, so one file
    of texts is one task wherever it lies; likewise vectors stand for the content of their file or
    texts. Processors with AVX2 are one device; on another, the same spec is another run
    (:func:`arithmetic.device`).
    """

    KIND: ClassVar = "runs"

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
    def base(self) -> "Spec":
        """The run that it rests on: itself."""
        return self

    @property
    def label(self) -> str:
        """The classifier in words, without its seed."""
        return f"{label(self.encoder)}, {label(self.alignment)}, {projection_name(self)}"

    def canonical(self) -> str:
        """Return the spec as JSON: keys sorted, no spaces, floats in their shortest exact form."""
        return canonical(self.model_dump(mode="json"))

    def key(self, task_fingerprint: str) -> str:
        """Return the run's short name: the first 16 digits of its identity."""
        return self.identity(task_fingerprint)[:16]

    def identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that a run's numbers depend on, the task's fingerprint too."""
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
        if (device := arithmetic.device(resolve_device(self.device).type)) != "cpu":
            values["device"] = device
        if self.vectors == "imdb":  # its texts are split into words as the task's are
            split = self.task if self.task in SOURCES else "plain"
            values["vectors"] = f"{training_texts('imdb')}, split as {split}"
        elif self.vectors == "glove":
            values["vectors"] = GLOVE_SHA256
        elif self.vectors not in ("random", "task"):
            check_vectors(self.vectors)
            content = path_of(self.vectors).read_bytes()
            values["vectors"] = hashlib.sha256(content).hexdigest()
        return {**values, "task": task_fingerprint}


class Upon(BaseModel):
    """What rests on a run: its base."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base: Spec

    @property
    def runs(self) -> list[Spec]:
        """The runs it needs, the base first."""
        return [self.base]

    def key(self, task_fingerprint: str) -> str:
        """Return its short name: the first 16 digits of its identity."""
        return self.identity(task_fingerprint)[:16]

    def identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that its numbers depend on."""
        raise NotImplementedError


class AdversarySpec(AdversarySettings, Upon):
    """What fully determines an adversary: its base run, and how it is trained against it.

    Left out, ``seed`` and ``patience`` are the base's. A frozen adversary, which has few parameters
    and costs little, gets twice the base's epochs and ten times its learning rate (the ratio that
    the paper, too, allows for the attention's own parameters); an unfrozen one gets the base's.
    """

    KIND: ClassVar = "adversaries"

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

    @property
    def label(self) -> str:
        """The adversary in words, without its seed."""
        pressure = f" λ_adv = {self.pressure:g}" if self.variant in TRAINED else ""
        return f"{self.base.label}, {label(self.variant)}{pressure}"

    @property
    def runs(self) -> list[Spec]:
        """The runs it needs: its base; of a reseeded control, also the base with its own seed."""
        if self.variant != "reseeded":
            return [self.base]
        return [self.base, validate(Spec, {**self.base.model_dump(), "seed": self.seed})]

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


class ExaminationSpec(Upon):
    """What fully determines an examination: the run, and how many of its documents are examined."""

    KIND: ClassVar = "examinations"

    documents: int = Field(default=60, ge=1)

    @property
    def seed(self) -> int:
        """The base's seed."""
        return self.base.seed

    @property
    def label(self) -> str:
        """The examination in words, without its seed."""
        return f"{self.base.label}, examined"

    def identity(self, task_fingerprint: str) -> str:
        """Return the SHA-256 of all that its numbers depend on."""
        base = self.base.training_identity(task_fingerprint)
        content = {"base": base, "observed": self.base.observed, "documents": self.documents}
        return sha256({**content, "format": FORMAT, "versions": self.versions()})

    def versions(self) -> dict[str, int]:
        """Return the versions of the stages beyond the base's training."""
        return {"examination": EXAMINATION_VERSION, "importance": IMPORTANCE_VERSION}


AnySpec: TypeAlias = Spec | AdversarySpec | ExaminationSpec
KINDS: dict[str, type[AnySpec]] = {one.KIND: one for one in (Spec, AdversarySpec, ExaminationSpec)}


def stored_spec(kind: str, values: Mapping[str, Any]) -> AnySpec:
    """Return the spec, of one of `KINDS`, from what its manifest holds."""
    based = {} if kind == Spec.KIND else {"base": validate(Spec, values["base"])}
    return validate(KINDS[kind], {**values, **based})


def canonical(value: object) -> str:
    """Return JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


SINGLE = {"encoder", "alignment", "projection", "lam", "alpha", "seed"}  # a grid has lists of them


class Axes(BaseModel):
    """The lists that span a grid."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    encoders: list[EncoderName] = Field(["bilstm"], min_length=1)
    alignments: list[Literal["additive", "dot"]] = Field(["additive"], min_length=1)
    projections: list[ProjectionName] = Field(["softmax"], min_length=1)
    lams: list[Lam] = []
    alphas: list[Alpha | Literal["learned"]] = []
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)


def grid(
    task: str = "planted",
    encoders: Sequence[object] = ("bilstm",),
    alignments: Sequence[object] = ("additive",),
    projections: Sequence[object] = ("softmax",),
    lams: Sequence[object] = (),
    alphas: Sequence[object] = (),
    seeds: Sequence[object] = (0,),
    **fixed: Any,
) -> list[Spec]:
    """Return the specs of a grid, each once: seeds vary fastest, encoders slowest.

    `lams` are λ of each ``sparsegen``, `alphas` α of each ``entmax``; the other projections have
    neither. `fixed` are other fields of `Spec`, the same for all. A UserError for a value that is
    not possible, an unknown field, or ``sparsegen`` without a λ.
    """
    given: dict[str, Any] = {
        "encoders": encoders, "alignments": alignments, "projections": projections,
        "lams": lams, "alphas": alphas, "seeds": seeds,
    }  # fmt: skip
    known = sorted({*Spec.model_fields, *given} - SINGLE)
    for name in fixed:
        if name not in known:
            raise UserError(f"Unknown parameter '{name}'.{among(name, known)}")
    axes = validate(
        Axes, {name: list(v) if isinstance(v, tuple | range) else v for name, v in given.items()}
    )
    if "sparsegen" in axes.projections and not axes.lams:
        raise UserError("Projection 'sparsegen' needs 'lams', a list of numbers below 1.")
    sparsities: list[dict[str, Any]] = []
    for projection in axes.projections:
        if projection == "sparsegen":
            sparsities += [{"projection": projection, "lam": lam} for lam in axes.lams]
        elif projection == "entmax":
            sparsities += [{"projection": projection, "alpha": a} for a in axes.alphas or [1.5]]
        else:
            sparsities.append({"projection": projection})
    specs = [
        validate(
            Spec,
            {
                "task": task, "encoder": encoder, "alignment": alignment, **sparsity,
                "seed": seed, **fixed,
            },
        )
        for encoder, alignment, sparsity, seed in product(
            axes.encoders, axes.alignments, sparsities, axes.seeds
        )
    ]  # fmt: skip
    return list(dict.fromkeys(specs))


def adversaries_of(
    bases: Sequence[Spec],
    variants: Sequence[str] = TRAINED,
    pressures: Sequence[object] = (PRESSURE,),
    **settings: Any,
) -> list[AdversarySpec]:
    """Return the specs of adversaries against each of several base runs, each once.

    `variants` as in `models.adversary.AdversarySettings`; the other seed of a ``reseeded`` control
    is the next one that `bases` have of the same classifier, or one more where there is none.
    `pressures` are values of λ_adv, for those that are trained; `settings` ``epochs``, ``patience``
    or ``learning_rate``, where they shall not follow the base's. A UserError for an unknown variant
    or setting, or a value out of range.
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


def examinations_of(bases: Iterable[Spec], documents: int = 60) -> list[ExaminationSpec]:
    """Return the specs of the examinations of runs, of so many documents each."""
    return [validate(ExaminationSpec, {"base": base, "documents": documents}) for base in bases]


def bases(specs: Iterable[Upon]) -> list[Spec]:
    """Return the runs that others rest on, each once."""
    return list(dict.fromkeys(run for spec in specs for run in spec.runs))


def _next_seed(base: Spec, bases: Sequence[Spec]) -> int:
    alike = base.model_dump(exclude={"seed"})
    seeds = sorted(one.seed for one in bases if one.model_dump(exclude={"seed"}) == alike)
    others = [seed for seed in seeds if seed != base.seed]
    if not others:
        return base.seed + 1
    return next((seed for seed in others if seed > base.seed), others[0])
