"""Grids: the specs of many runs, and of the adversaries against them."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sparseattn.errors import UserError, nearest, validate
from sparseattn.experiments.specs import (
    CONTROLS,
    TRAINED,
    AdversarySpec,
    ExaminationSpec,
    Spec,
    Upon,
)
from sparseattn.models.adversary import PRESSURE
from sparseattn.wording import Alpha, Lam, ProjectionName

SINGLE = {"encoder", "alignment", "projection", "lam", "alpha", "seed"}  # a grid has lists of them


class Axes(BaseModel):
    """The lists that span a grid."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    encoders: list[Literal["none", "bilstm", "transformer"]] = Field(["bilstm"], min_length=1)
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
            raise UserError(
                f"Unknown parameter '{name}'.{nearest(name, known)} Known: {', '.join(known)}."
            )
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
