"""The lock is current: what requirements.txt pins has the same version there, and hashes."""

import re

from sparseattn import paths


def pinned(name: str) -> dict[str, str]:
    text = (paths.root() / name).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


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
