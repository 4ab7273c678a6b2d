"""Many runs: a grid of specs, computed in parallel processes here or on a cluster."""

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import UserError, nearest, validate
from sparseattn.experiments import machine
from sparseattn.experiments.progress import Progress
from sparseattn.experiments.runs import Spec, Store
from sparseattn.experiments.specs import canonical
from sparseattn.experiments.store import Kept, KeptT, SpecT, Storage, Wanted
from sparseattn.experiments.workers import Failure, in_processes, one_by_one
from sparseattn.models.training import resolve_device
from sparseattn.wording import Alpha, Lam, ProjectionName

SINGLE = {"encoder", "alignment", "projection", "lam", "alpha", "seed"}  # a grid has lists of them


class SweepError(RuntimeError):
    """Some runs of a sweep failed; the others are in the store."""


class Interrupted(KeyboardInterrupt):
    """A sweep was interrupted; its message says what is done."""


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
    """Return the specs of a grid, each once.

    Parameters
    ----------
    task
        Name or file.
    encoders, alignments, projections, seeds
        The axes.
    lams
        λ of each ``sparsegen``; the other projections have none.
    alphas
        α of each ``entmax``; the other projections have none.
    fixed
        Other fields of `Spec`, the same for all.

    Returns
    -------
    list of Spec
        Seeds vary fastest, encoders slowest.

    Raises
    ------
    UserError
        For a value that is not possible, an unknown field, or ``sparsegen`` without a λ.
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


def ensure(
    specs: Iterable[SpecT],
    store: Storage[SpecT, KeptT],
    jobs: int | None = None,
    progress: bool = True,
) -> list[KeptT]:
    """Return the results of specs (runs, adversaries), computing those the store does not hold.

    Parameters
    ----------
    specs
        The results wanted.
    store
        Where they are kept.
    jobs
        Processes at once, one torch thread each; by default one a core. With 1, or a single run
        to compute, this process does it. The results do not depend on it.
    progress
        Whether to show how far it is.

    Returns
    -------
    list of Kept
        In the order of the specs.

    Raises
    ------
    UserError, SweepError
        When runs failed, naming them; all others are computed and stored first. The former when
        every cause is one the user can mend.
    Interrupted
        On Ctrl-C or SIGTERM: running processes are ended at once; finished runs are kept.
    """
    specs = list(specs)
    tasks = _tasks(specs)
    found = {spec: store.find(spec, tasks[spec]) for spec in specs}
    missing = [spec for spec, run in found.items() if run is None]
    if missing:
        jobs = min(_default_jobs(missing) if jobs is None else jobs, len(missing))
        shown = Progress(missing, jobs, store.current(), progress)
        failures: list[Failure] = []
        compute = one_by_one if jobs == 1 else in_processes
        try:
            with _terminable(), closing(compute(missing, tasks, store, jobs, shown)) as outcomes:
                for spec, outcome in outcomes:
                    shown.finish(spec, None if isinstance(outcome, Failure) else _seconds(outcome))
                    if isinstance(outcome, Failure):
                        failures.append(outcome)
                    else:
                        found[spec] = outcome
        except KeyboardInterrupt:
            done = sum(store.find(spec, tasks[spec]) is not None for spec in found)
            raise Interrupted(
                f"Interrupted: {done} of {len(found)} runs are done and kept. "
                "The same command computes the others."
            ) from None
        finally:
            shown.close()
        if failures:
            kind = UserError if all(failure.mendable for failure in failures) else SweepError
            raise kind(_report(failures, len(found)))
    return [run for spec in specs if (run := found[spec]) is not None]


def missing(specs: Iterable[Spec], store: Store) -> list[Spec]:
    """Return those specs whose run the store does not hold."""
    specs = list(specs)
    tasks = _tasks(specs)
    return [spec for spec in dict.fromkeys(specs) if store.find(spec, tasks[spec]) is None]


def _report(failures: list[Failure], total: int) -> str:
    causes: dict[str, list[Wanted]] = {}
    for failure in failures:
        causes.setdefault(failure.message, []).append(failure.spec)
    lines = [f"{len(failures)} of {total} runs failed; the others are in the store."]
    for cause, specs in causes.items():
        lines += [f"- {spec.task}: {spec.label}, seed {spec.seed}" for spec in specs]
        lines.append(f"  {cause}")
    return "\n".join(lines)


def _tasks(specs: Iterable[SpecT]) -> dict[SpecT, Task]:
    """Load each task once."""
    loaded: dict[str, Task] = {}
    tasks = {}
    for spec in specs:
        name = canonical([spec.task, spec.task_options])
        if name not in loaded:
            loaded[name] = load_task(spec.task, spec.task_options)
        tasks[spec] = loaded[name]
    return tasks


def _default_jobs(specs: Sequence[Wanted]) -> int:
    # A GPU is shared by what its small kernels leave idle, not by its memory.
    gpu = any(resolve_device(spec.device).type == "cuda" for spec in specs)
    return min(machine.cores(), 4) if gpu else machine.cores()


def _seconds(run: Kept[Any]) -> float:
    return float(sum(run.manifest["seconds"].values()))


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
