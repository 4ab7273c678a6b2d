"""The machine, the packages and the code that results were made with."""

import hashlib
import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import sparseattn

PACKAGE = Path(sparseattn.__file__).parent
PACKAGES = (
    "torch", "entmax", "numpy", "scipy", "scikit-learn", "pandas", "safetensors", "sparseattn",
)  # fmt: skip


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def hardware() -> dict[str, object]:
    """Return the processor's name, its usable cores, the memory in GB, and the GPU's name."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": round(memory, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def measured_on() -> dict[str, object]:
    """Return the machine, code and time of a measurement: hardware, ``commit``, ``date``, ``load``.

    The load is how many processes wanted a core in the last minute (None where unknown). Times are
    worth less above ``cores``.
    """
    return {
        **{name: hardware()[name] for name in ("processor", "cores", "system")},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "commit": code()["commit"],
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


@cache
def packages() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from its source, not installed
            found[name] = "source"
    return found


@cache
def code() -> dict[str, str | None]:
    """Return this package's ``fingerprint`` and ``commit``.

    The SHA-256 of all its modules' names and contents; and the git commit checked out (ending in
    ``+`` when files differ from it), None outside a repository.
    """
    return {"fingerprint": _FINGERPRINT, "commit": _commit(PACKAGE.parents[1])}


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


_FINGERPRINT = _fingerprint()  # of the code as imported: an edit during a sweep is not yet in force


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit(project: Path) -> str | None:
    if not (project / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout.strip()  # fmt: skip

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None
