"""What a machine elsewhere runs is what stands in the README, with no more rights than it needs."""

import re
import tomllib

import pytest
import yaml

from sparseattn import paths


@pytest.fixture(scope="module")
def workflow():
    file = paths.root() / ".github" / "workflows" / "book.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def test_it_runs_the_two_commands(workflow):
    commands = [step.get("run") for step in workflow["jobs"]["build"]["steps"]]
    assert commands.index("make test") < commands.index("make book")
    readme = (paths.root() / "README.md").read_text(encoding="utf-8")
    for command in ("make test", "make book"):
        assert re.search(rf"^{command}\b", readme, re.MULTILINE)


def test_only_the_deployment_may_write(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["build"]
    assert workflow["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert workflow["jobs"]["deploy"]["if"] == "github.event_name == 'push'"
    assert workflow[True]["push"]["branches"] == ["main"]  # YAML reads "on" as true


def test_every_action_has_a_version(workflow):
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert len(used) >= 5
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


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
