"""The store: runs and what rests on them, each there wholly, as written, or not at all."""

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pandas as pd
from filelock import Timeout

from sparseattn import files
from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import UserError
from sparseattn.experiments.examinations import make_examination
from sparseattn.experiments.making import keep_freed_memory, make_adversary, make_run
from sparseattn.experiments.runs import RESULTS, Result, Run
from sparseattn.experiments.specs import (
    KINDS,
    AdversarySpec,
    AnySpec,
    ExaminationSpec,
    Spec,
    stored_spec,
)
from sparseattn.models.training import Progress, resolve_device

log = logging.getLogger("sparseattn")


class Store:
    """A folder of runs, adversaries, examinations; what these rest on is computed first.

    The folder is made when the first result is computed. ``KIND/KEY`` holds a finished result: it
    is written to ``partial/``, synchronised with the disk and renamed, so it is there wholly or not
    at all. Whoever computes a key holds the lock ``locks/KEY.lock``; so what lies in ``partial/``
    for a key whose lock is free was left by a killed process, and is removed. A result that is not
    what its checksums say goes to ``damaged/`` and counts as missing. ``vectors/`` keeps initial
    word vectors, which runs share.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    def find(self, spec: AnySpec, task: Task) -> Any:
        """Return the stored result of a spec, of its kind, or None when there is none.

        A damaged one is reported, set aside, and counts as none. The weights, large and seldom
        needed, are checked when they are read.
        """
        path = files.part(self.root, spec.KIND) / spec.key(task.fingerprint)
        try:
            return _opened(path)
        except files.DamagedRunError as damage:
            files.set_aside(path, damage, lambda path: _opened(path, weights=True))
        try:  # another process may have computed it anew meanwhile
            return _opened(path)
        except files.DamagedRunError:
            return None

    def get(self, key: str) -> Result | None:
        """Return the stored result of a key, or None when there is none, or only a damaged one."""
        if not re.fullmatch(r"[0-9a-f]{16}", key):
            return None
        try:
            found = (_opened(files.part(self.root, kind) / key) for kind in KINDS)
            return next((one for one in found if one), None)
        except files.DamagedRunError:
            return None

    def compute(
        self, spec: AnySpec, task: Task | None = None, progress: Progress | None = None
    ) -> Any:
        """Return the result of a spec, of its kind; compute it first if the store does not hold it.

        The same bits whichever process computed it. The `task` is given when loaded already;
        `progress` is called after each epoch (`models.training.fit`). A UserError when the store
        cannot be written (before training, where that can be told), or the classifier cannot be
        trained.
        """
        task = load_task(spec.base.task, spec.base.task_options) if task is None else task
        if found := self.find(spec, task):
            return found
        resolve_device(spec.base.device)  # fails before anything is waited for
        path = files.part(self.root, spec.KIND) / spec.key(task.fingerprint)
        with files.locked(self.root, path.name):
            if found := self.find(spec, task):  # computed by another process while we waited
                return found
            with self._partial(path.name, _size(spec, task)) as partial:
                keep_freed_memory()
                contents, manifest = self._made(spec, task, progress)
                with files.writing(self.root):
                    files.write(partial, contents, manifest)
                    path.parent.mkdir(exist_ok=True)
                    try:
                        os.rename(partial, path)
                    except OSError:  # where locks do not work, another may have been first
                        if not path.is_dir():
                            raise
                    files.synchronise(path.parent)
            if found := self.find(spec, task):
                return found
        raise UserError(
            f"{path} could not be read back right after it was written: the disk may be failing. "
            "Let SPARSEATTN_STORE name a folder on another one."
        )

    def runs(self) -> list[Run]:
        """Return all runs whose manifests are whole, oldest first."""
        return self.results(Spec.KIND)

    def results(self, kind: str) -> list[Any]:
        """Return all results of one of `KINDS` whose manifests are whole, oldest first."""
        found = [result for _, result in self._kept(kind) if result is not None]
        return sorted(found, key=lambda one: str(one.manifest["date"]))

    def damaged(self) -> list[str]:
        """Return the keys of what was set aside, and of what has no whole manifest."""
        here = [path for kind in KINDS for path, result in self._kept(kind) if result is None]
        return [path.name.partition(".")[0] for path in (*here, *self._paths("damaged"))]

    def verify(self) -> pd.DataFrame:
        """Read every file of every result; set aside what is damaged, remove what a kill left over.

        Returns ``key`` and ``problem`` of each damaged one; no rows when all are whole.
        """
        problems = []
        for path in (path for kind in KINDS for path in self._paths(kind)):
            try:
                _opened(path, weights=True)
            except files.DamagedRunError as damage:
                problems.append({"key": path.name, "problem": str(damage)})
                files.set_aside(path, damage, lambda path: _opened(path, weights=True))
        for left in self._paths("partial"):
            try:
                with files.locked(self.root, left.name.partition(".")[0], wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            except Timeout:  # its process is alive
                continue
        return pd.DataFrame(problems, columns=["key", "problem"])

    def _paths(self, folder: str) -> list[Path]:
        """Return what lies in a folder under a key's name; nothing else is ours."""
        return sorted(
            path
            for path in files.part(self.root, folder).glob("*")
            if re.fullmatch(r"[0-9a-f]{16}(\..*)?", path.name)
        )

    def _kept(self, kind: str) -> Iterator[tuple[Path, Any]]:
        """Yield each result's folder and what it holds, None where its manifest is damaged."""
        for path in self._paths(kind):
            try:
                yield path, _result(path, files.read_manifest(path))
            except files.DamagedRunError as damage:
                log.info("%s is passed over: %s.", path, damage)
                yield path, None

    def _made(
        self, spec: AnySpec, task: Task, progress: Progress | None
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Compute a result: its files by name, and its manifest."""
        vectors = files.part(self.root, "vectors")
        if isinstance(spec, AdversarySpec):
            runs = [self.compute(run, task) for run in spec.runs]
            return make_adversary(spec, task, runs, progress, vectors)
        if isinstance(spec, ExaminationSpec):
            return make_examination(spec, task, self.compute(spec.base, task), progress)
        earlier = self._trained(spec.training_identity(task.fingerprint))
        return make_run(spec, task, earlier, progress, vectors)

    def _trained(self, training_identity: str) -> Run | None:
        """Return a run whose weights are those wanted, if there is a whole one."""
        for path, run in self._kept(Spec.KIND):
            if run and run.manifest.get("training_identity") == training_identity:
                try:
                    files.checked(path, weights=True)
                except files.DamagedRunError:
                    continue
                return cast("Run", run)
        return None

    @contextmanager
    def _partial(self, key: str, needed: int) -> Iterator[Path]:
        """Lend a fresh folder to write a result to; what a kill left of the key is cleared.

        A full or read-only disk shows here, before anything is computed.
        """
        with files.writing(self.root):
            folder = files.part(self.root, "partial")
            for left in folder.glob(f"{key}.*"):
                shutil.rmtree(left, ignore_errors=True)
            partial = folder / f"{key}.{os.getpid()}.{time.time_ns()}"
            partial.mkdir(parents=True)
        try:
            with files.writing(self.root):
                if needed > files.TENSORS_MOST:
                    raise OSError(errno.EFBIG, "the result would be too large to be read back")
                free = shutil.disk_usage(partial).free
                if free < needed:
                    need = f"{free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed"
                    raise OSError(errno.ENOSPC, f"No space left on device ({need})")
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _opened(path: Path, weights: bool = False) -> Any:
    """Return a result once its files are checked; None if it is not there."""
    return _result(path, files.checked(path, weights)) if os.path.lexists(path) else None


def _result(path: Path, manifest: dict[str, Any]) -> Any:
    needed = ("key", "identity", "spec", "task", "versions", "seconds", "date", "files")
    if missing := [name for name in needed if name not in manifest]:
        raise files.DamagedRunError(f"its manifest has no {', '.join(missing)}")
    try:
        spec = stored_spec(path.parent.name, manifest["spec"])
        return RESULTS[type(spec)](spec, path.name, path, manifest)
    except (UserError, TypeError, KeyError) as error:
        why = f"its manifest has settings that no run has now: {error}"
        raise files.DamagedRunError(why) from None


def _size(spec: AnySpec, task: Task) -> int:
    """Return the bytes a result takes at most."""
    if isinstance(spec, ExaminationSpec):
        return 2**22
    base = spec.base
    tokens = min(base.observed, len(task.test)) * max(len(ids) for ids in task.test.ids)
    if isinstance(spec, AdversarySpec):
        return 4 * (12 * len(task.test) + 4 * tokens) + 2**20
    weights = len(task.vocabulary) * base.embedding_size
    encoder = 16 * base.hidden_size * (base.embedding_size + 2 * base.hidden_size)
    return 4 * (weights + encoder + 14 * tokens) + 2**20
