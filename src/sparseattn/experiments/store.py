"""A folder of results that took long to make: each there wholly, as written, or not at all."""

import errno
import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import pandas as pd
from filelock import BaseFileLock, FileLock, Timeout

from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import UserError
from sparseattn.files import (
    CURVE,
    WEIGHTS,
    DamagedRunError,
    check_size,
    read,
    read_manifest,
    synchronise,
    write,
)
from sparseattn.models.training import Progress, resolve_device

log = logging.getLogger("sparseattn")


@runtime_checkable
class Wanted(Protocol):
    """What a result is asked for by: all that determines it."""

    @property
    def task(self) -> str:
        """Name or file of its task."""

    @property
    def task_options(self) -> dict[str, Any]:
        """Options of its task."""

    @property
    def encoder(self) -> str:
        """Its classifier's encoder, which tells how long it takes."""

    @property
    def seed(self) -> int:
        """Its seed."""

    @property
    def device(self) -> str:
        """Where it is computed."""

    @property
    def label(self) -> str:
        """What it is in words, without its seed."""

    def key(self, task_fingerprint: str) -> str:
        """Return its short name."""

    def model_dump_json(self) -> str:
        """Return it as JSON."""

    def versions(self) -> dict[str, int]:
        """Return the versions of the stages that would make it."""


SpecT = TypeVar("SpecT", bound=Wanted)


@dataclass(eq=False)
class Kept(Generic[SpecT]):
    """A result as stored.

    Parameters
    ----------
    spec
        What determined it.
    key
        Its identity, 16 hexadecimal digits.
    path
        Its folder.
    manifest
        What it is, and where it comes from.
    """

    spec: SpecT
    key: str
    path: Path
    manifest: dict[str, Any]

    @property
    def label(self) -> str:
        """What it is in words, without its seed."""
        return self.spec.label

    @property
    def seconds_ago(self) -> float:
        """How long ago it was computed, in seconds."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.manifest["date"])).total_seconds()

    @property
    def _storage(self) -> "Storage[Any, Any]":
        raise NotImplementedError

    def _read(self, name: str) -> bytes:
        try:
            return read(self.path, name)
        except DamagedRunError as damage:
            self._storage.set_aside(self.key)
            raise UserError(
                f"{self._storage.NOUN} {self.key} is damaged ({damage}) and was set aside. "
                "Run the same command again to compute it anew."
            ) from None


KeptT = TypeVar("KeptT", bound=Kept[Any])


class Storage(ABC, Generic[SpecT, KeptT]):
    """A folder of results of one kind, beside those of other kinds.

    Parameters
    ----------
    root
        The folder; made when the first result is computed.

    Notes
    -----
    ``KIND/KEY`` holds a finished result: it is written to ``partial/``, synchronised with the disk
    and renamed, so it is there wholly or not at all. Whoever computes a key holds the lock
    ``locks/KEY.lock``, which the system releases when its process ends, however it ends; so what
    lies in ``partial/`` for a key whose lock is free was left by a killed process, and is removed.
    A result that is not what its checksums say goes to ``damaged/`` and counts as missing.
    """

    KIND: ClassVar[str]
    NOUN: ClassVar[str]

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    @abstractmethod
    def parse(self, spec: str) -> SpecT:
        """Return a spec from its JSON."""

    @abstractmethod
    def _kept(self, path: Path, manifest: dict[str, Any]) -> KeptT:
        """Return a stored result whose files are whole."""

    @abstractmethod
    def _size(self, spec: SpecT, task: Task) -> int:
        """Return the bytes it takes at most."""

    @abstractmethod
    def _make(
        self, spec: SpecT, task: Task, progress: Progress | None
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Compute it: its files by name, and its manifest."""

    def find(self, spec: SpecT, task: Task) -> KeptT | None:
        """Return the stored result of a spec, or None when there is none.

        A damaged one is reported, set aside, and counts as none. The weights, large and seldom
        needed, are checked when they are read.
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

    def get(self, key: str) -> KeptT | None:
        """Return the stored result of a key, or None when there is none, or only a damaged one."""
        try:
            return self._load(key)
        except DamagedRunError:
            return None

    def compute(
        self, spec: SpecT, task: Task | None = None, progress: Progress | None = None
    ) -> KeptT:
        """Return the result of a spec; compute it first if the store does not hold it.

        Parameters
        ----------
        spec
            What is wanted.
        task
            Its task, when loaded already.
        progress
            Called after each epoch, see `models.training.fit`.

        Returns
        -------
        Kept
            As stored; the same bits whichever process of this machine computed it.

        Raises
        ------
        UserError
            When the store cannot be written (before training, where that can be told), or the
            classifier cannot be trained.
        """
        task = load_task(spec.task, spec.task_options) if task is None else task
        if kept := self.find(spec, task):
            return kept
        resolve_device(spec.device)  # fails before anything is waited for
        key = spec.key(task.fingerprint)
        with self._locked(key):
            if kept := self.find(spec, task):  # computed by another process while we waited
                return kept
            partial = self._partial(key, self._size(spec, task))
            try:
                files, manifest = self._make(spec, task, progress)
                with self._writing():
                    write(partial, files, manifest)
                    self._publish(partial, key)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            if kept := self.find(spec, task):
                return kept
        raise UserError(
            f"{self.NOUN} {key} could not be read back right after it was written to "
            f"'{self.root}': the disk may be failing. Let SPARSEATTN_STORE name a folder on "
            "another one."
        )

    def verify(self) -> pd.DataFrame:
        """Read every file of every result; set aside what is damaged, remove what a kill left over.

        Returns
        -------
        DataFrame
            ``key`` and ``problem`` of each damaged one; without rows when all are whole.
        """
        problems = []
        for folder in self.stored():
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
        """Move a damaged result to ``damaged/`` and report it; leave it if it turns out whole."""
        with self._locked(key), self._writing():
            try:
                self._load(key, weights=True)
            except DamagedRunError as damage:
                aside = self._folder("damaged") / f"{key}.{time.time_ns()}"
                os.rename(self.root / self.KIND / key, aside)
                log.warning(
                    "%s %s is damaged (%s); it was moved to %s.", self.NOUN, key, damage, aside
                )

    def stored(self) -> list[Path]:
        """Return the folders of all results."""
        return sorted((self.root / self.KIND).glob("*"))

    def open(self, path: Path) -> KeptT:
        """Return the result in one of the folders of `stored`."""
        return self._kept(path, read_manifest(path))

    def current(self) -> list[KeptT]:
        """Return the results that the stages of today would make, oldest first."""
        found = []
        for path in self.stored():
            with suppress(DamagedRunError):
                found.append(self.open(path))
        found = [kept for kept in found if kept.manifest["versions"] == kept.spec.versions()]
        return sorted(found, key=lambda kept: str(kept.manifest["date"]))

    def _load(self, key: str, weights: bool = False) -> KeptT | None:
        """Return a result once its files are checked; None if it is not there."""
        path = self.root / self.KIND / key
        if not path.is_dir():
            return None
        manifest = read_manifest(path)
        for name, size in manifest["files"].items():
            check_size(path, name, size)
            if name != WEIGHTS or weights:
                read(path, name)
        return self._kept(path, manifest)

    def _partial(self, key: str, needed: int) -> Path:
        """Return a fresh folder to write a result to, having cleared what a kill left of it.

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
        final = self._folder(self.KIND) / key
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
                log.info(
                    "%s %s is being computed by another process; waiting for it.", self.NOUN, key
                )
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
