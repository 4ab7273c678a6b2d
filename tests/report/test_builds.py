import json

import pytest

from sparseattn.report import book, builds


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of three notebooks, two of them executed."""
    for folder in ("book", "notebooks", "_build/executed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.txt").write_text(
        "# What is needed\ntorch==2.13.0\nnumpy>=1.0  # any\nno-such-package==1.0\n"
    )
    monkeypatch.setenv("SPARSEATTN_ROOT", str(tmp_path))
    for name in ("01-one", "02-two", "03-three"):
        (tmp_path / "notebooks" / f"{name}.py").touch()
    executed("01-one", runs=["a", "b", "a"])
    executed("02-two", runs=["b"])
    return tmp_path


def executed(name, **origin):
    origin = {"parameters": {}, "runs": [], "seconds": 1.5, "date": "2026-01-01", **origin}
    notebook = {"metadata": {book.METADATA: {**origin, "inputs": {}, "modules": []}}}
    book.executed_notebook(name).write_text(json.dumps(notebook))


def test_a_page_sees_those_before_it(project):
    assert list(builds.pages("03-three")["notebook"]) == ["01-one", "02-two"]
    assert list(builds.pages("02-two")["notebook"]) == ["01-one"]
    assert builds.pages("01-one").empty


def test_runs_name_their_pages_once(project):
    assert builds.runs(builds.pages("03-three")) == {"a": ["01-one"], "b": ["01-one", "02-two"]}


def test_what_is_no_record_is_no_page(project):
    book.executed_notebook("01-one").write_text("{")
    book.executed_notebook("02-two").write_text(json.dumps({"metadata": {}}))
    assert builds.pages("03-three").empty
    executed("04-gone")  # a page there no longer is
    assert builds.pages("09").empty


def test_a_page_on_the_build_depends_on_the_pages_before_it(project):
    def inputs(*modules):
        return book._inputs("02-two", {}, list(modules))

    before, apart = inputs("report/builds.py"), inputs("charts/points.py")
    executed("02-two", seconds=9.0)
    assert inputs("report/builds.py") == before  # its own copy is not what it depends on
    executed("01-one", seconds=9.0)
    assert inputs("report/builds.py") != before
    assert inputs("charts/points.py") == apart


def test_requirements_are_pinned_or_not(project):
    frame = builds.requirements().set_index("package")
    assert frame.loc["torch", "pinned"] == "2.13.0"
    assert frame["pinned"].isna().to_dict() == {
        "torch": False, "numpy": True, "no-such-package": False,
    }  # fmt: skip
    assert frame["here"].isna().to_dict() == {
        "torch": False, "numpy": False, "no-such-package": True,
    }  # fmt: skip
