"""The files of a run: written down to the disk, and read back only as written."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST, CURVE, TRACES, WEIGHTS = (
    "manifest.json", "curve.json", "traces.safetensors", "weights.safetensors",
)  # fmt: skip
SUMS = "SHA256SUMS"  # in the form `sha256sum --check` reads


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
    """Return a file's content, having checked it.

    Raises
    ------
    DamagedRunError
        When it cannot be read, or does not have the checksum recorded for it.
    """
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


def check_size(folder: Path, name: str, size: int) -> None:
    """Raise `DamagedRunError` unless a file is there with so many bytes."""
    path = folder / name
    if not path.is_file() or path.stat().st_size != size:
        raise DamagedRunError(f"{name} is missing or not of the size written")


def synchronise(folder: Path) -> None:
    """Wait until the disk has the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
