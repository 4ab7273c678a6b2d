"""Files in optional packages: found without running code of theirs, and checked."""

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

from sparseattn.errors import UserError


def packaged(package: str, name: str, missing: str, advice: str) -> Path:
    """Return the file of this name in an installed package.

    A UserError with `advice` when the file is not there, or, as `missing` says, the package.
    """
    try:
        files = importlib.metadata.distribution(package).files or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"{missing} {advice}") from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise UserError(f"The installed package {package} holds no {name}. {advice}")


def check_content(file: Path, sha256: str, named: str, advice: str) -> None:
    """Raise a UserError unless the content of a file has this SHA-256, `named` what that is."""
    if (found := _digest(file)) != sha256:
        raise UserError(
            f"{file} is not {named}: its SHA-256 is {found[:8]}…, expected {sha256[:8]}…. {advice}"
        )


@cache
def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
