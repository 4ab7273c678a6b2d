"""What a machine elsewhere runs is what stands in the README, with no more rights than it needs."""

import re
import tomllib

import pytest
import yaml

from sparseattn import paths


def read(name):
    file = paths.root() / ".github" / "workflows" / f"{name}.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workflow():
    return read("book")


EVERY = pytest.mark.parametrize("name", ["book", "upkeep"])


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def test_it_runs_the_two_commands(workflow):
    run = commands(workflow["jobs"]["build"])
    assert run.index("make test") < run.index("make book")
    readme = (paths.root() / "README.md").read_text(encoding="utf-8")
    for command in ("make test", "make book"):
        assert re.search(rf"^{command}\b", readme, re.MULTILINE)


def test_only_the_deployment_may_write(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["build"]
    assert workflow["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert workflow["jobs"]["deploy"]["if"] == "github.event_name == 'push'"
    assert workflow[True]["push"]["branches"] == ["main"]  # YAML reads "on" as true


@EVERY
def test_every_action_has_a_version(name):
    steps = [step for job in read(name)["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert len(used) >= 5
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


@EVERY
def test_what_is_installed_is_the_lock_by_its_hashes(name):
    """Wherever make installs: LOCKED reaches it, and its rules for that ask for hashes."""
    found = read(name)
    for job in found["jobs"].values():
        if any(command.startswith("make") for command in commands(job)):
            assert {**found.get("env", {}), **job.get("env", {})}["LOCKED"] == "1"
        assert not [one for one in commands(job) if re.search(r"pip install(?! pip-audit==)", one)]
    makefile = (paths.root() / "Makefile").read_text(encoding="utf-8")
    locked = makefile.partition("ifdef LOCKED")[2].partition("else")[0]
    assert "--require-hashes --no-deps --requirement requirements.lock" in locked
    assert "--no-deps --editable ." in locked


def test_later_versions_of_python_are_tested_without_the_browser(workflow):
    job = workflow["jobs"]["later"]
    assert job["strategy"]["matrix"]["python"] == ["3.12", "3.13"]
    assert "SPARSEATTN_REQUIRE_BROWSER" not in job["env"]
    assert any(command.startswith(".venv/bin/pytest") for command in commands(job))


def test_upkeep_is_scheduled_and_may_only_read():
    found = read("upkeep")
    assert found[True]["schedule"]
    assert found["permissions"] == {"contents": "read"}
    assert not [job for job in found["jobs"].values() if "permissions" in job]
    audits = [one for one in commands(found["jobs"]["audit"]) if "pip-audit --" in one]
    assert len(audits) == 2
    assert all("--strict" in one for one in audits)
    assert "requirements.lock" in audits[0]
    assert commands(found["jobs"]["links"]) == ["make links"]
    makefile = (paths.root() / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^links: book\n\t.* --builder linkcheck$", makefile, re.MULTILINE)


def test_python_is_the_same_everywhere(workflow):
    setup = next(
        step
        for step in workflow["jobs"]["build"]["steps"]
        if "setup-python" in step.get("uses", "")
    )
    version = setup["with"]["python-version"]
    runtime = (paths.root() / ".binder" / "runtime.txt").read_text().strip()
    project = tomllib.loads((paths.root() / "pyproject.toml").read_text())
    assert runtime == f"python-{version}"
    assert project["project"]["requires-python"] == f">={version}"


def test_binder_installs_the_requirements_and_the_checkout():
    folder = paths.root() / ".binder"
    assert folder.joinpath("requirements.txt").read_text() == "-r ../requirements.txt\n"
    assert "--editable ." in folder.joinpath("postBuild").read_text()
    assert folder.joinpath("postBuild").stat().st_mode & 0o111
