"""Files of results that took long to make: written down to the disk, read back only as written."""

import errno
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sparseattn.errors import UserError

MANIFEST, CURVE, TRACES, WEIGHTS, DOCUMENTS = (
    "manifest.json", "curve.json", "traces.safetensors", "weights.safetensors",
    "documents.safetensors",
)  # fmt: skip
SUMS = "SHA256SUMS"  # in the form `sha256sum --check` reads

TEXT_MOST, TENSORS_MOST = 2**24, 2**32
"""Bytes of the largest JSON file and the largest file of tensors that are read into memory."""

log = logging.getLogger("sparseattn")


class DamagedRunError(Exception):
    """A file of a stored run is missing, or is not what was written."""


def bounded(path: Path, most: int) -> bytes:
    """Return a file's content, of at most so many bytes.

    A DamagedRunError when it is not there, is a link or no plain file, or has more bytes: nothing
    of it is read then. A UserError when the system refuses to have it read.
    """
    try:
        # What waits for somebody to write into it must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise DamagedRunError(f"{path.name} is no plain file")
            if state.st_size > most:
                raise DamagedRunError(
                    f"{path.name} has {state.st_size:,} bytes, more than the {most:,} that are read"
                )
            return file.read()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DamagedRunError(f"{path.name} is a link to another file") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UserError(f"Cannot read '{path}': {error.strerror}.") from None
        raise DamagedRunError(f"{path.name} cannot be read: {error.strerror}") from None


def parsed(content: bytes) -> dict[str, Any]:
    """Return the entries of a JSON object; `DamagedRunError` where it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise DamagedRunError("it is not JSON") from None
    if not isinstance(found, dict):
        raise DamagedRunError("it holds no entries")
    return found


def part(store: Path, name: str) -> Path:
    """Return the folder of a store with that name; a UserError where it leads out of the store."""
    folder = store / name
    if folder.is_symlink():
        raise UserError(
            f"'{folder}' is a link: what a store holds must lie in the store itself. Remove the "
            "link, or let SPARSEATTN_STORE name another folder."
        )
    return folder


def write(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write a run's files, their manifest and their checksums, and wait for the disk.

    Into an existing folder, files by name; the sizes of these are added to the manifest, which can
    be written as JSON.
    """
    sizes = {name: len(content) for name, content in files.items()}
    readable = json.dumps({**manifest, "files": sizes}, indent=1, allow_nan=False)
    contents = {**files, MANIFEST: readable.encode()}
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in contents.items())
    for name, content in {**contents, SUMS: sums.encode()}.items():
        with open(folder / name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    synchronise(folder)


def read(folder: Path, name: str) -> bytes:
    """Return a file's content; `DamagedRunError` unless it has the checksum recorded for it."""
    if folder.is_symlink():
        raise DamagedRunError("its folder is a link to another")
    lines = bounded(folder / SUMS, TEXT_MOST).splitlines()
    content = bounded(folder / name, TEXT_MOST if name.endswith(".json") else TENSORS_MOST)
    if f"{_sha256(content)}  {name}".encode() not in lines:
        raise DamagedRunError(f"{name} does not match its checksum")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run's manifest, checked as by `read`, and to be of the key that its folder names."""
    manifest = parsed(read(folder, MANIFEST))
    key = manifest.get("key", folder.name)
    if key != folder.name or not str(manifest.get("identity", key)).startswith(key):
        raise DamagedRunError(f"it is of another key, {key}")
    return manifest


def checked(folder: Path, weights: bool = False) -> dict[str, Any]:
    """Return a run's manifest once its files are checked; of the large weights, only the size."""
    manifest = read_manifest(folder)
    sizes = manifest.get("files")
    if not isinstance(sizes, dict) or not set(sizes) <= {CURVE, TRACES, WEIGHTS, DOCUMENTS}:
        raise DamagedRunError(f"{MANIFEST} lists files that no run has")
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise DamagedRunError(f"{name} is missing or not of the size written")
        if name != WEIGHTS or weights:
            read(folder, name)
    return manifest


def synchronise(folder: Path) -> None:
    """Wait until the disk has the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path, damage: DamagedRunError, check: Callable[[Path], object]) -> None:
    """Move a damaged result ``STORE/KIND/KEY`` to ``STORE/damaged``, and say so.

    It stays where it is when it turns out whole, which `check` tells: another process may have made
    it anew; and where the store cannot be written, which is said, too.
    """
    store, key = path.parents[1], path.name
    try:
        with locked(store, key), writing(store):
            if not os.path.lexists(path):
                return
            try:
                check(path)
            except DamagedRunError as found:
                aside = part(store, "damaged") / f"{key}.{time.time_ns()}"
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.rename(path, aside)
                log.warning("%s is damaged (%s); it was moved to %s.", path, found, aside)
    except UserError as refused:
        log.warning("%s is damaged (%s), and passed over. %s", path, damage, refused)


@contextmanager
def locked(store: Path, key: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a key, which the system releases when its process ends, however it ends.

    A `filelock.Timeout` when another process holds it, unless told to ``wait``.
    """
    with writing(store):
        locks = part(store, "locks")
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{key}.lock", is_singleton=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise
            log.info("%s is being computed by another process; waiting for it.", key)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Explain what the system says when the store cannot be written."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise UserError(
            f"Cannot write to the run store '{store}': {error.strerror or error}. Make "
            "room or get permission there, or let the environment variable SPARSEATTN_STORE "
            "name another folder. Runs stored before are unharmed."
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
