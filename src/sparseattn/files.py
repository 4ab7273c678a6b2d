"""Files of results that took long to make: written down to the disk, read back only as written."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
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

log = logging.getLogger("sparseattn")


class DamagedRunError(Exception):
    """A file of a stored run is missing, or is not what was written."""


def write(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write a run's files, their manifest and their checksums, and wait for the disk.

    Parameters
    ----------
    folder
        An existing folder.
    files
        Name → content.
    manifest
        What can be written as JSON; the sizes of the files are added to it.
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
    try:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
        content = (folder / name).read_bytes()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DamagedRunError(f"{name} cannot be read: {error}") from None
    if f"{_sha256(content)}  {name}" not in lines:
        raise DamagedRunError(f"{name} does not match its checksum")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run's manifest, checked as by `read`."""
    return dict(json.loads(read(folder, MANIFEST)))


def checked(folder: Path, weights: bool = False) -> dict[str, Any]:
    """Return a run's manifest once its files are checked; of the large weights, only the size."""
    manifest = read_manifest(folder)
    for name, size in manifest["files"].items():
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


def set_aside(path: Path) -> None:
    """Move a damaged result ``STORE/KIND/KEY`` to ``STORE/damaged``, and say so.

    It stays where it is when it turns out whole: another process may have made it anew.
    """
    store, key = path.parents[1], path.name
    with locked(store, key), writing(store):
        if not path.is_dir():
            return
        try:
            checked(path, weights=True)
        except DamagedRunError as damage:
            aside = store / "damaged" / f"{key}.{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, aside)
            log.warning("%s is damaged (%s); it was moved to %s.", path, damage, aside)


@contextmanager
def locked(store: Path, key: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a key, which the system releases when its process ends, however it ends.

    Raises
    ------
    filelock.Timeout
        When another process holds it, unless told to ``wait``.
    """
    with writing(store):
        (store / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(store / "locks" / f"{key}.lock", is_singleton=True)
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
