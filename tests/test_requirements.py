"""The lock is current: what requirements.txt pins has the same version there, and hashes."""

import re
from importlib.metadata import requires

from packaging.requirements import Requirement

from sparseattn import paths


def canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def pinned(name: str) -> dict[str, str]:
    text = (paths.root() / name).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    return {canonical(package): version for package, version in found}


def needed(names: set[str]) -> dict[str, set[str]]:
    """Return what packages need, and what that needs, here: package → by whom."""
    found: dict[str, set[str]] = {}
    known = {("torch", "")}  # what its builds for GPUs need is not locked
    ahead = [(name, "") for name in names]
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in known:
            continue
        known.add((name, extra))
        for one in map(Requirement, requires(name) or ()):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                package = canonical(one.name)
                found.setdefault(package, set()).add(name)
                ahead += [(package, which) for which in ("", *one.extras)]
    return found


def test_every_requirement_is_pinned():
    text = (paths.root() / "requirements.txt").read_text(encoding="utf-8")
    asked = [line for line in text.splitlines() if line.partition("#")[0].strip()]
    assert len(asked) == len(pinned("requirements.txt")) > 30


def test_the_lock_is_of_these_requirements():
    wanted, locked = pinned("requirements.txt"), pinned("requirements.lock")
    assert wanted.pop("torch")
    assert {name: locked.get(name) for name in wanted} == wanted, "run 'make lock'"


def test_each_locked_package_has_hashes_and_none_is_torchs_alone():
    text = (paths.root() / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not [
        name for name in pinned("requirements.lock") if name.startswith(("torch", "nvidia"))
    ]


def test_the_lock_has_whatever_its_packages_need():
    """Else ``make LOCKED=1``, which looks for no dependencies, would lack it."""
    locked = pinned("requirements.lock")
    asked = needed(set(pinned("requirements.txt")) - {"torch"})
    assert len(asked) > 100
    lacking = {name: whom for name, whom in asked.items() if name not in {*locked, "torch"}}
    assert not lacking, "run 'make lock'"
