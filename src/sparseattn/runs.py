"""`Spec` → `Run`: what was trained and observed, and the store that keeps it."""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import BaseFileLock, FileLock, Timeout
from safetensors import numpy as safetensors_numpy
from safetensors import torch as safetensors_torch

from .errors import UserError, validate
from .making import estimated_size, make
from .measures import measure
from .model import Classifier
from .runfiles import (
    CURVE,
    TRACES,
    WEIGHTS,
    DamagedRunError,
    check_size,
    read,
    read_manifest,
    synchronise,
    write,
)
from .specs import Spec
from .tasks import Documents, Task, load_task
from .training import Progress, resolve_device

__all__ = ["DamagedRunError", "Run", "Spec", "Store"]

log = logging.getLogger("sparseattn")

COLUMNS = (
    "key", "task", "encoder", "alignment", "projection", "lam", "alpha", "seed", "observed",
    "accuracy", "auc", "train", "evaluate", "importance", "influence", "megabytes", "device",
    "date", "versions", "state",
)  # fmt: skip


@dataclass(eq=False)
class Run:
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

    spec: Spec
    key: str
    path: Path
    manifest: dict[str, Any]

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The learning curve, one row an epoch; see `sparseattn.training.Fitted`."""
        return pd.DataFrame(json.loads(self._read(CURVE)))

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """What was observed, by name; see `sparseattn.observation.observe`."""
        return dict(safetensors_numpy.load(self._read(TRACES)))

    def measurements(self) -> pd.DataFrame:
        """Return one row a document, one column a quantity; see `sparseattn.measures.measure`."""
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
    def label(self) -> str:
        """The classifier in words, without its seed."""
        return self.spec.label

    @property
    def stored(self) -> bool:
        """Whether its traces and weights are here, not just its published measurements."""
        return (self.path / WEIGHTS).is_file()

    @property
    def seconds_ago(self) -> float:
        """How long ago it was computed, in seconds."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.manifest["date"])).total_seconds()

    def _read(self, name: str) -> bytes:
        try:
            return read(self.path, name)
        except DamagedRunError as damage:
            Store(self.path.parents[1]).set_aside(self.key)
            raise UserError(
                f"Run {self.key} is damaged ({damage}) and was set aside. "
                "Run the same command again to compute it anew."
            ) from None


class Store:
    """A folder of runs.

    Parameters
    ----------
    root
        The folder; made when the first run is computed.

    Notes
    -----
    ``runs/KEY`` holds a finished run: it is written to ``partial/``, synchronised with the disk
    and renamed, so it is there wholly or not at all. Whoever computes a key holds the lock
    ``locks/KEY.lock``, which the system releases when its process ends, however it ends; so what
    lies in ``partial/`` for a key whose lock is free was left by a killed process, and is removed.
    A run that is not what its checksums say goes to ``damaged/`` and counts as missing.
    ``vectors/`` keeps initial word vectors, which runs of one task and seed share.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    def find(self, spec: Spec, task: Task) -> Run | None:
        """Return the stored run of a spec, or None when there is none.

        A damaged run is reported, set aside, and counts as none. The weights, large and seldom
        needed, are checked when `Run.classifier` reads them.
        """
        key = spec.key(task.fingerprint)
        try:
            return self._load(key)
        except DamagedRunError:
            self.set_aside(key)
            try:  # another process may have computed it anew meanwhile
                return self._load(key)
            except DamagedRunError:
                return None

    def compute(
        self, spec: Spec, task: Task | None = None, progress: Progress | None = None
    ) -> Run:
        """Return the run of a spec; train and observe it first if the store does not hold it.

        Parameters
        ----------
        spec
            The run.
        task
            Its task, when loaded already.
        progress
            Called after each epoch, see `sparseattn.training.fit`.

        Returns
        -------
        Run
            As stored; the same bits whichever process of this machine computed it.

        Raises
        ------
        UserError
            When the store cannot be written (before training, where that can be told), or the
            classifier cannot be trained.
        """
        task = load_task(spec.task, spec.task_options) if task is None else task
        if run := self.find(spec, task):
            return run
        resolve_device(spec.device)  # fails before anything is waited for
        key = spec.key(task.fingerprint)
        with self._locked(key):
            if run := self.find(spec, task):  # computed by another process while we waited
                return run
            partial = self._partial(key, estimated_size(spec, task))
            try:
                earlier = self._trained(spec.training_identity(task.fingerprint))
                files, manifest = make(spec, task, earlier, progress, self.root / "vectors")
                with self._writing():
                    write(partial, files, manifest)
                    self._publish(partial, key)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            if run := self.find(spec, task):
                return run
        raise UserError(
            f"Run {key} could not be read back right after it was written to '{self.root}': the "
            "disk may be failing. Let SPARSEATTN_STORE name a folder on another one."
        )

    def ledger(self) -> pd.DataFrame:
        """Return what the store holds, one row a run, oldest first.

        Returns
        -------
        DataFrame
            ``key``; of the spec ``task``, ``encoder``, ``alignment``, ``projection``, ``lam``,
            ``alpha``, ``seed``, ``observed``; ``accuracy`` and ``auc`` on the test split;
            ``train``, ``evaluate``, ``importance``, ``influence`` in seconds; ``megabytes``;
            ``device``; ``date``; ``versions`` of the stages; and ``state``: ``current``,
            ``outdated`` (made by other versions of the stages, hence not used), or ``damaged``.
        """
        rows: list[dict[str, Any]] = []
        for folder in self._runs():
            try:
                rows.append(_row(read_manifest(folder)))
            except DamagedRunError:
                rows.append({"key": folder.name, "state": "damaged"})
        for folder in sorted((self.root / "damaged").glob("*")):
            rows.append({"key": folder.name.partition(".")[0], "state": "damaged"})
        rows.sort(key=lambda row: row.get("date", ""))
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def verify(self) -> pd.DataFrame:
        """Read every file of every run; set aside what is damaged, remove what a kill left over.

        Returns
        -------
        DataFrame
            ``key`` and ``problem`` of each damaged run; without rows when all are whole.
        """
        problems = []
        for folder in self._runs():
            try:
                self._load(folder.name, weights=True)
            except DamagedRunError as damage:
                problems.append({"key": folder.name, "problem": str(damage)})
                self.set_aside(folder.name)
        for left in sorted((self.root / "partial").glob("*")):
            try:
                with self._lock(left.name.partition(".")[0]).acquire(timeout=0):
                    shutil.rmtree(left, ignore_errors=True)
            except Timeout:  # its process is alive
                continue
        return pd.DataFrame(problems, columns=["key", "problem"])

    def set_aside(self, key: str) -> None:
        """Move a damaged run to ``damaged/`` and report it; leave it if it turns out whole."""
        with self._locked(key), self._writing():
            try:
                self._load(key, weights=True)
            except DamagedRunError as damage:
                aside = self._folder("damaged") / f"{key}.{time.time_ns()}"
                os.rename(self.root / "runs" / key, aside)
                log.warning("Run %s is damaged (%s); it was moved to %s.", key, damage, aside)

    def _runs(self) -> list[Path]:
        return sorted((self.root / "runs").glob("*"))

    def _load(self, key: str, weights: bool = False) -> Run | None:
        """Return a run once its files are checked; None if it is not there."""
        path = self.root / "runs" / key
        if not path.is_dir():
            return None
        manifest = read_manifest(path)
        for name, size in manifest["files"].items():
            check_size(path, name, size)
            if name != WEIGHTS or weights:
                read(path, name)
        return Run(validate(Spec, manifest["spec"]), key, path, manifest)

    def _trained(self, training_identity: str) -> Run | None:
        """Return a run whose weights are those wanted, if there is a whole one."""
        for folder in self._runs():
            try:
                if read_manifest(folder)["training_identity"] == training_identity:
                    return self._load(folder.name, weights=True)
            except DamagedRunError:
                continue
        return None

    def _partial(self, key: str, needed: int) -> Path:
        """Return a fresh folder to write a run to, having cleared what a kill left of it.

        A full or read-only disk shows here, before anything is computed.
        """
        with self._writing():
            for left in (self.root / "partial").glob(f"{key}.*"):
                shutil.rmtree(left, ignore_errors=True)
            partial = self._folder("partial") / f"{key}.{os.getpid()}.{time.time_ns()}"
            partial.mkdir()
            try:
                free = shutil.disk_usage(partial).free
                if free < needed:
                    need = f"{free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed"
                    raise OSError(errno.ENOSPC, f"No space left on device ({need})")
                write(partial, {CURVE: bytes(4096)}, {})
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            return partial

    def _publish(self, partial: Path, key: str) -> None:
        final = self._folder("runs") / key
        try:
            os.rename(partial, final)
        except OSError:  # where locks do not work, another process may have been first
            if not final.is_dir():
                raise
        synchronise(final.parent)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _lock(self, key: str) -> BaseFileLock:
        with self._writing():
            return FileLock(self._folder("locks") / f"{key}.lock", is_singleton=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        lock = self._lock(key)
        with self._writing():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.info("Run %s is being computed by another process; waiting for it.", key)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Explain what the system says when the store cannot be written."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"Cannot write to the run store '{self.root}': {error.strerror or error}. Make "
                "room or get permission there, or let the environment variable SPARSEATTN_STORE "
                "name another folder. Runs stored before are unharmed."
            ) from error


def _row(manifest: Mapping[str, Any]) -> dict[str, Any]:
    current = manifest["versions"] == validate(Spec, manifest["spec"]).versions()
    return {
        **manifest["spec"],
        **manifest["seconds"],
        **{name: manifest[name] for name in ("key", "accuracy", "auc", "device", "date")},
        "task": manifest["task"]["name"],
        "megabytes": sum(manifest["files"].values()) / 1e6,
        "versions": " ".join(f"{name}={n}" for name, n in manifest["versions"].items()),
        "state": "current" if current else "outdated",
    }
