"""A sweep's runs as jobs of a cluster, through submitit."""

import re
import tempfile
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import submitit

from sparseattn.errors import UserError
from sparseattn.experiments import machine
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import Failure
from sparseattn.files import part, writing


class Computation:
    """One run as a job: its spec as JSON, and a store on a file system that all machines share.

    A job that is preempted is queued again, and a finished one costs nothing.
    """

    def __init__(self, spec: str, root: str) -> None:
        self.spec, self.root = spec, root

    def __call__(self) -> str:
        """Compute the run and return its key."""
        return Store(self.root).compute(Spec.model_validate_json(self.spec)).key

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Return what to queue again when the job is preempted: the same, from its start."""
        return submitit.helpers.DelayedSubmission(self)


def submit(
    specs: Sequence[Spec],
    store: Store,
    cluster: str = "slurm",
    jobs: int | None = None,
    **parameters: Any,
) -> list[submitit.Job[str]]:
    """Submit runs as one array of jobs.

    Parameters
    ----------
    specs
        Runs the store does not hold, see `experiments.sweeps.missing`.
    store
        Where they will be kept; logs go to its ``jobs`` folder.
    cluster
        ``slurm``; ``local``, processes of this machine; or ``debug``, in this process, when a
        job's result is asked for.
    jobs
        How many may run at once. On this machine, where there is no queue, the next ones are
        submitted when the first have ended; by default as many as it has cores.
    parameters
        Of `submitit.AutoExecutor`: ``timeout_min``, ``mem_gb``, ``slurm_partition``, …

    Returns
    -------
    list
        A job for each spec.

    Raises
    ------
    UserError
        When there is no such cluster here, or jobs cannot have their logs in the store.
    """
    if "%" in str(store.root):
        raise UserError(
            f"Jobs take '%' in a path for a number of theirs, and the run store is {store.root}. "
            "Set SPARSEATTN_STORE to a folder without it."
        )
    try:
        # submitit unpickles what jobs left in their folder, so it is one that nobody had before us.
        with writing(store.root):
            jobs_here = part(store.root, "jobs")
            jobs_here.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{datetime.now():%Y-%m-%d-}", dir=jobs_here))
        executor = submitit.AutoExecutor(folder=folder / "%j", cluster=cluster)
        if jobs is not None:
            parameters["slurm_array_parallelism"] = jobs
        executor.update_parameters(cpus_per_task=1, **parameters)
        computations = [Computation(spec.model_dump_json(), str(store.root)) for spec in specs]
        if cluster != "local":
            return list(executor.submit_array(computations))
        submitted: list[submitit.Job[str]] = []
        at_once = jobs or machine.cores()
        for start in range(0, len(computations), at_once):
            submitted += executor.submit_array(computations[start : start + at_once])
            for job in submitted[start:]:
                job.wait()
        return submitted
    except (RuntimeError, NameError, ValueError) as error:
        raise UserError(f"Cannot submit to cluster '{cluster}': {error}") from None


def failure(job: submitit.Job[str]) -> Failure | None:
    """Wait for a job, and return why it failed, if it did."""
    error = job.exception()
    # Of an error in another process there is only the trace, which ends in its message.
    told = re.search(r"^sparseattn\.errors\.UserError: (.*?)\n+-{9,}$", str(error), re.M | re.S)
    if error is None:
        return None
    if told or isinstance(error, UserError):
        return Failure(told[1] if told else str(error), mendable=True)
    return Failure("".join(traceback.format_exception(error)).strip(), mendable=False)
