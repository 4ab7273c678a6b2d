"""Runs, and what rests on them, as jobs of a cluster, through submitit."""

import json
import re
import subprocess
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import submitit

from sparseattn import arithmetic
from sparseattn.data.tasks import Task
from sparseattn.errors import UserError
from sparseattn.experiments import machine
from sparseattn.experiments.progress import Progress
from sparseattn.experiments.specs import AnySpec, stored_spec
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import Failure, Outcomes
from sparseattn.files import part, writing

ARRAY = 1000
"""Jobs of one array at most: SLURM's own limit, where nobody raised it."""
EVERY = 10.0
"""Seconds between two questions to SLURM."""
LATE = 30.0
"""Seconds after which a result counts as missing that a machine elsewhere may have written."""
ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
)  # fmt: skip
"""States in which SLURM is done with a job, unless it is about to queue it again."""

_NOTE = "computes.json"
FORGOTTEN = ("", "None", "")
"""State, reason and name of a job that ended a while ago."""

Job: TypeAlias = submitit.Job[str]


class Computation:
    """One result as a job: its spec as JSON, and a store on a file system that all machines share.

    A job that is preempted, or about to pass its time limit, is queued again, and a finished one
    costs nothing.
    """

    def __init__(self, spec: AnySpec, root: str) -> None:
        self.kind, self.spec, self.root = spec.KIND, spec.model_dump_json(), root

    def wanted(self) -> AnySpec:
        """Return the spec."""
        return stored_spec(self.kind, json.loads(self.spec))

    def __call__(self) -> str:
        """Compute the result and return its key."""
        return Store(self.root).compute(self.wanted()).key

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Return what to queue again when the job is preempted: the same, from its start."""
        return submitit.helpers.DelayedSubmission(self)


def submit(
    specs: Sequence[AnySpec],
    store: Store,
    cluster: str = "slurm",
    jobs: int | None = None,
    after: Iterable[Job] = (),
    **parameters: Any,
) -> list[Job]:
    """Submit what is to be computed as arrays of jobs, and return a job for each spec.

    Parameters
    ----------
    specs
        Those whose results the store does not hold, see `experiments.sweeps.missing`.
    store
        Where they will be kept; logs go to its ``jobs`` folder.
    cluster
        ``slurm``; ``local``, processes of this machine, all at once; or ``debug``, in this process,
        when a job's result is asked for.
    jobs
        How many may run at once, of each thousand.
    after
        Jobs of SLURM that must have ended before these begin.
    parameters
        Of `submitit.AutoExecutor`: ``timeout_min``, ``mem_gb``, ``slurm_partition``, …

    Raises
    ------
    UserError
        When there is no such cluster here, it takes no such jobs, or jobs cannot have their logs
        in the store.
    """
    if "%" in str(store.root):
        raise UserError(
            f"Jobs take '%' in a path for a number of theirs, and the run store is {store.root}. "
            "Set SPARSEATTN_STORE to a folder without it."
        )
    given = {"slurm_setup": _exported(), **parameters}
    if jobs is not None:
        given["slurm_array_parallelism"] = jobs
    if arrays := sorted({job.job_id.partition("_")[0] for job in after}):
        given["slurm_additional_parameters"] = {"dependency": f"afterany:{':'.join(arrays)}"}
    try:
        submitted: list[Job] = []
        for start in range(0, len(specs), ARRAY):
            array = [Computation(spec, str(store.root)) for spec in specs[start : start + ARRAY]]
            name = _noted(array, store)
            executor = submitit.AutoExecutor(folder=_folder(store, name) / "%j", cluster=cluster)
            executor.update_parameters(cpus_per_task=1, slurm_job_name=name, **given)
            submitted += executor.submit_array(array)
        return submitted
    except (RuntimeError, NameError, ValueError) as error:
        raise UserError(f"Cannot submit to cluster '{cluster}': {error}") from None


def _noted(array: Sequence[Computation], store: Store) -> str:
    """Note what the jobs of an array compute, by a name that SLURM keeps, too: see `queued`.

    submitit unpickles what jobs leave, so they leave it in a folder that nobody had before us.
    """
    name = f"sparseattn-{uuid4().hex[:16]}"
    with writing(store.root):
        _folder(store, name).mkdir(parents=True)
        rows = [[one.kind, one.spec] for one in array]
        (_folder(store, name) / _NOTE).write_text(json.dumps(rows), encoding="utf-8")
    return name


def _folder(store: Store, name: str) -> Path:
    return part(store.root, "jobs") / name


def queued(specs: Iterable[AnySpec], store: Store) -> dict[AnySpec, Job]:
    """Return the jobs that SLURM has already, waiting or running, of specs for this store."""
    known = {(spec.KIND, spec.model_dump_json()): spec for spec in specs}
    found = dict[AnySpec, Job]()
    for job, (state, _, name) in (_asked() or {}).items():
        note = _folder(store, name) / _NOTE
        if state not in ENDED and re.fullmatch("sparseattn-[0-9a-f]{16}", name) and note.is_file():
            rows = json.loads(note.read_text(encoding="utf-8"))
            number = int(job.partition("_")[2] or 0)
            if number < len(rows) and (spec := known.get(tuple(rows[number]))):
                found[spec] = submitit.SlurmJob(note.parent / "%j", job)
    return found


def _asked() -> dict[str, tuple[str, str, str]] | None:
    """Return each of our jobs that SLURM knows: state, reason, name. None if it does not answer.

    Not through ``sacct``, as submitit asks: many a cluster keeps no accounts, and then a job that
    was killed would be waited for without end.
    """
    command = ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%r|%j"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # its controller may be restarting
        return None
    rows = [line.split("|", 3) for line in told.stdout.splitlines() if line.count("|") >= 3]
    return {job: (state, reason, name) for job, state, reason, name in rows}


def _exported() -> list[str]:
    """Return shell commands that pin a job's arithmetic, where jobs do not get our environment.

    submitit imports numpy before it knows of us.
    """
    pinned = {} if arithmetic.unsupported() else arithmetic.ENVIRONMENT
    return [f"export {name}='{value}'" for name, value in pinned.items()]


@dataclass
class Cluster:
    """A cluster that computes for `experiments.sweeps.ensure`, followed until all jobs ended.

    Both fields are as for `submit`. Of ``local`` so many processes run at once as `ensure` is told,
    by default as many as the machine has cores. When `ensure` is interrupted these end; SLURM's
    jobs go on.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        specs: Sequence[AnySpec],
        tasks: Mapping[Any, Task],
        store: Store,
        jobs: int | None,
        shown: Progress,
    ) -> Outcomes:
        """Compute, yielding each spec when its job has ended, and why it failed, if it did."""
        waiting, running = list(specs), dict[AnySpec, Job]()
        at_once = len(specs) if self.name != "local" else jobs or machine.cores()
        watch = _Watch()
        if self.name == "slurm" and (running := queued(specs, store)):
            waiting = [spec for spec in specs if spec not in running]
        try:
            while waiting or running:
                if some := waiting[: at_once - len(running)]:
                    submitted = submit(some, store, self.name, jobs, **self.parameters)
                    del waiting[: len(some)]
                    running |= zip(some, submitted, strict=True)
                if self.name == "slurm" and watch.look():
                    shown.queue(*watch.counted(running.values()))
                for spec, job in list(running.items()):
                    why = None
                    if self.name != "slurm" or store.find(spec, tasks[spec]) is None:
                        if not watch.over(job):
                            continue
                        why = watch.lost(job) or failure(job)
                        if why is None and store.find(spec, tasks[spec]) is None:
                            if not watch.late(job):
                                continue
                            why = Failure(_other(job, store), mendable=False)
                    del running[spec]
                    yield spec, why
                if running:
                    time.sleep(0.5)
        finally:
            if self.name != "slurm":
                for job in running.values():
                    job.cancel()


class _Watch:
    """What SLURM says of our jobs, asked now and then."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[str, str, str]] = {}
        self.last = float("-inf")
        self.since: dict[str, float] = {}  # jobs seen ended, and when

    def look(self) -> bool:
        """Ask, unless that was a moment ago, and tell whether there was an answer."""
        if time.monotonic() - self.last < EVERY:
            return False
        self.last = time.monotonic()
        known = _asked()
        self.states = self.states if known is None else known
        return known is not None

    def counted(self, jobs: Iterable[Job]) -> tuple[int, int, str]:
        """Count the jobs that run and those that wait, say why these do; note those that ended."""
        running, waiting, reasons = 0, 0, set[str]()
        for job in jobs:
            state, reason, _ = self.states.get(job.job_id, FORGOTTEN)
            if state in ENDED or not state:
                self.since.setdefault(job.job_id, time.monotonic())
                continue
            self.since.pop(job.job_id, None)
            waiting += state == "PENDING"
            running += state != "PENDING"
            reasons |= {reason} - {"None"}
        return running, waiting, ", ".join(sorted(reasons))

    def over(self, job: Job) -> bool:
        """Tell whether a job has ended: not by what it left, for it may be queued again."""
        if not isinstance(job, submitit.SlurmJob):
            return isinstance(job, submitit.DebugJob) or job.done()  # the former runs when asked
        there = job.paths.result_pickle.exists()
        return (there and job.job_id in self.since) or self.late(job)

    def late(self, job: Job) -> bool:
        """Tell whether a job ended so long ago that a slow file system has shown all it left."""
        if not isinstance(job, submitit.SlurmJob):
            return True
        return time.monotonic() - self.since.get(job.job_id, float("inf")) >= LATE

    def lost(self, job: Job) -> Failure | None:
        """Say how a job of SLURM ended that left neither a result nor an error."""
        if not isinstance(job, submitit.SlurmJob) or job.paths.result_pickle.exists():
            return None
        state, reason, _ = self.states.get(job.job_id, FORGOTTEN)
        how = (state and f" as {state}") + ("" if reason == "None" else f" ({reason})")
        log = job.paths.stderr
        last = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        told = "\n".join(f"  {line}" for line in last.strip().splitlines()[-5:])
        return Failure(
            f"Its job {job.job_id} ended{how} without a result. The end of {log}:\n"
            f"{told or '  (it is empty)'}",
            mendable=False,
        )


def failure(job: Job) -> Failure | None:
    """Wait for a job, and return why it failed, if it did."""
    error = job.exception()
    # Of an error in another process there is only the trace, which ends in its message.
    told = re.search(r"^sparseattn\.errors\.UserError: (.*?)\n+-{9,}$", str(error), re.M | re.S)
    if error is None:
        return None
    if "timed-out too many times" in str(error):
        return Failure(
            f"Its job {job.job_id} came to its time limit each time that it was queued: raise "
            "--minutes.",
            mendable=True,
        )
    if told or isinstance(error, UserError):
        return Failure(told[1] if told else str(error), mendable=True)
    return Failure("".join(traceback.format_exception(error)).strip(), mendable=False)


def _other(job: Job, store: Store) -> str:
    """Say why a job that did its work left another result than the one asked for."""
    key = job.result()
    made = store.get(key)
    device = f", of device '{made.manifest['device']}'" if made else ""
    return (
        f"Its job {job.job_id} made {key}{device}, which is another result: the machine that ran "
        "it has another arithmetic, version of the code, or data than this one."
    )
