import json
import os
import subprocess
import textwrap
import threading
from concurrent.futures import Future
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from sparseattn.errors import UserError
from sparseattn.report import book, execution
from sparseattn.report.parameters import read_parameters

SOURCE = """\
    # ---
    # jupyter:
    #   kernelspec:
    #     display_name: Python 3
    #     language: python
    #     name: python3
    # ---

    # %% [markdown]
    # # A page

    # %% tags=["parameters", "hide-input"]
    lams = [0.0]

    # %%
    from sparseattn.report import parameters

    p = parameters.check(globals(), "01-page")

    # %%
    # NBVAL_CHECK_OUTPUT
    print(1 / (1 - p.lams[0]))

    # %%
    from sparseattn.report.provenance import Provenance

    Provenance(p)
    """


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one notebook, apart from ours."""
    root = tmp_path / "project"
    for folder in ("book", "notebooks"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "requirements.txt").write_text("torch\n")
    (root / "notebooks" / "01-page.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.setenv("SPARSEATTN_ROOT", str(root))
    return root


@pytest.fixture
def executed(project):
    return execution.execute("01-page", {"lams": [0.5]}, project / "out {x}" / "out.ipynb")


def test_execution_uses_the_parameters_and_records_its_origin(executed):
    notebook = nbformat.read(executed, as_version=4)
    texts = [o.get("text", "") for c in notebook.cells for o in c.get("outputs", [])]
    assert any("2.0" in text for text in texts)
    origin = notebook.metadata["sparseattn"]
    assert origin["parameters"] == {"lams": [0.5]}
    assert "report/parameters.py" in origin["modules"]
    assert (
        "models/training.py" not in origin["modules"]
    )  # what the page does not import, it owes nothing
    assert 0 < origin["seconds"] < 600
    assert origin["runs"] == []
    assert "jupytext" not in notebook.metadata
    assert "papermill" not in json.dumps(notebook.metadata)


def test_current_until_something_it_came_from_changes(project, executed):
    def current(lam=0.5):
        return execution.is_current("01-page", {"lams": [lam]}, executed)

    assert current()
    assert not current(lam=0.25)
    source = project / "notebooks" / "01-page.py"
    source.write_text(source.read_text() + "\n# %% [markdown]\n# More.\n")
    assert not current()


def test_a_changed_module_or_requirement_is_noticed(project, executed):
    origin = nbformat.read(executed, as_version=4)
    inputs = origin.metadata["sparseattn"]["inputs"]
    inputs["src/report/parameters.py"] = "0" * 64
    nbformat.write(origin, executed)
    assert not execution.is_current("01-page", {"lams": [0.5]}, executed)
    assert not execution.is_current("01-page", {"lams": [0.5]}, project / "absent.ipynb")


def test_a_failing_cell_leaves_no_notebook(project):
    source = project / "notebooks" / "01-page.py"
    source.write_text(source.read_text().replace("1 / (1 - p.lams[0])", "1 / 0"))
    with pytest.raises(RuntimeError, match=r"01-page.*failed(.|\n)*ZeroDivisionError"):
        execution.execute("01-page", {}, project / "out.ipynb")
    assert not (project / "out.ipynb").exists()


def test_bad_parameters_stop_before_anything_starts(project):
    with pytest.raises(UserError, match="Did you mean 'lams'"):
        execution.execute("01-page", {"lamz": [0.5]}, project / "out.ipynb")
    assert not (project / "out.ipynb").exists()
    file = project / "parameters.yml"
    file.write_text("lamz: [0.5]\n")
    with pytest.raises(UserError, match=r"no notebook declares it.*Did you mean 'lams'"):
        book.build(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [("- 1\n", "holds a list; expected lines like"), ("a: [\n", "is not YAML")],
)
def test_parameter_files_that_are_none(tmp_path, content, message):
    file = tmp_path / "parameters.yml"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_parameters(file)
    with pytest.raises(UserError, match="No such file"):
        read_parameters(tmp_path / "absent.yml")


def test_pair_keeps_only_checked_outputs(project):
    paired = nbformat.read(execution.pair("01-page"), as_version=4)
    outputs = {
        cell.source.splitlines()[0]: cell.outputs
        for cell in paired.cells
        if cell.cell_type == "code" and cell.outputs
    }
    assert list(outputs) == ["# NBVAL_CHECK_OUTPUT"]
    assert outputs["# NBVAL_CHECK_OUTPUT"][0]["text"] == "1.0\n"


CONFIG = {"html": {"favicon": "f"}, "launch_buttons": {"thebe": False}, "title": "t"}


def test_without_an_address_nothing_is_added():
    assert set(book.address({}).values()) == {""}
    assert book._addressed(CONFIG, book.address({})) == CONFIG


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_repository_of_any_spelling(end):
    given = book.address({"BOOK_REPOSITORY": f"https://github.com/Owner-1/my.name_2{end}"})
    config = book._addressed(CONFIG, given)
    assert config["repository"] == {
        "url": "https://github.com/Owner-1/my.name_2", "branch": "main",
    }  # fmt: skip
    assert config["html"]["favicon"] == "f"
    assert config["html"]["use_edit_page_button"]
    assert config["launch_buttons"]["thebe"] is False
    assert config["launch_buttons"]["binderhub_url"]
    assert "repository" not in CONFIG  # what was given stays


def test_branch_and_url():
    names = {"BOOK_BRANCH": "v1.0", "BOOK_URL": "https://owner.github.io/name"}
    given = book.address(names)
    config = book._addressed(CONFIG, given)
    assert config["html"]["baseurl"] == "https://owner.github.io/name/"
    assert "repository" not in config
    both = book.address({**names, "BOOK_REPOSITORY": "https://github.com/owner/name"})
    assert book._addressed(CONFIG, both)["repository"]["branch"] == "v1.0"


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("BOOK_REPOSITORY", "github.com/owner/name", "https://github.com/owner/name"),
        ("BOOK_REPOSITORY", "https://github.com/owner", "https://github.com/owner/name"),
        ("BOOK_REPOSITORY", "https://github.com/owner/..", "on GitHub"),
        ("BOOK_REPOSITORY", "https://example.org/owner/name", "on GitHub"),
        ("BOOK_REPOSITORY", "https://github.com/owner/name/tree/main", "on GitHub"),
        ("BOOK_REPOSITORY", 'https://github.com/owner/"><script>', "on GitHub"),
        ("BOOK_BRANCH", "feature/x", "such as main"),
        ("BOOK_URL", "owner.github.io", "https://owner.github.io/name/"),
    ],
)
def test_what_is_none_is_refused_by_name(name, value, hint):
    with pytest.raises(UserError, match=name) as refused:
        book.address({name: value})
    assert value in str(refused.value)
    assert hint in str(refused.value)


# --- the whole book: what it executes in which order, and what it never removes ---


class Here:
    """Runs jobs at once, in this process."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *given):
        job = Future()
        job.set_result(work(*given))
        return job


@pytest.fixture
def built(project, monkeypatch):
    """A project whose notebooks and pages are made in no time; tells what was executed."""
    (project / "notebooks" / "00-runs.py").write_text("from sparseattn.report import ledger\n")
    (project / "_config.yml").write_text("title: t\n")
    (project / "_toc.yml").touch()
    (project / "book" / "page.md").write_text("# A page\n")
    (project / "book" / "page.md").chmod(0o444)
    done = []

    def execute(notebook, values, output):
        done.append(notebook)
        modules = ["report/ledger.py"] if notebook == "00-runs" else []
        origin = {
            "parameters": dict(values),
            "modules": modules,
            "inputs": execution._inputs(notebook, values, modules),
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"metadata": {"sparseattn": origin}, "cells": []}))
        return output

    def jupyter_book(command, **_):
        pages = project / "_build" / "pages" / "_build" / "html"
        (pages / "notebooks").mkdir(parents=True)
        for page in ("index.html", "notebooks/01-page.html"):
            (pages / page).write_text((project / "book" / "page.md").read_text())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(book, "execute", execute)
    monkeypatch.setattr(book, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(book.subprocess, "run", jupyter_book)
    for name in ("write_scripts", "write_card"):
        monkeypatch.setattr(f"sparseattn.charts.figure.{name}", lambda *_: None)
    return done


def edit(project, text="# Edited\n"):
    page = project / "book" / "page.md"
    page.chmod(0o644)
    page.write_text(text)


def test_pages_that_read_others_come_last_and_each_is_counted(project, built, capsys):
    page = book.build()
    assert page == project / "_build" / "html" / "index.html"
    assert page.is_file()
    assert built == ["01-page", "00-runs"]
    told = capsys.readouterr().out
    assert "1 of 2  01-page: 0 s" in told
    assert "2 of 2  00-runs: 0 s" in told
    assert book.build() == page
    assert built == ["01-page", "00-runs"]
    told = capsys.readouterr().out
    assert "1 of 2  01-page: unchanged\n 2 of 2  00-runs: unchanged\nbook: unchanged\n" in told


def test_a_folder_that_is_no_book_is_left_alone(project, built, tmp_path, monkeypatch):
    folder = tmp_path / "site"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "notes.txt").write_text("my only copy")
    monkeypatch.chdir(folder)
    file = tmp_path / "file"
    file.write_text("precious")
    for output in (folder, ".", file, file / "below"):
        with pytest.raises(UserError, match=r"no build made|Cannot write the folder"):
            book.build(output=book.Path(output))
    assert built == []  # it is known before anything runs
    assert (folder / "thesis" / "notes.txt").read_text() == "my only copy"
    assert file.read_text() == "precious"


def test_what_others_put_into_a_book_stays(project, built, tmp_path):
    page = book.build(output=tmp_path / "site {a}")
    (page.parent / "CNAME").write_text("example.org")
    edit(project)
    (page.parent / "notebooks" / "gone.html").write_text("theirs")
    assert book.build(output=page.parent) == page
    assert page.read_text() == "# Edited\n"
    assert (page.parent / "CNAME").read_text() == "example.org"
    assert (page.parent / "notebooks" / "gone.html").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "site {a}"]


def test_a_failed_build_leaves_the_earlier_book(project, built, monkeypatch):
    page = book.build()
    before = page.read_text()
    edit(project)
    failed = subprocess.CompletedProcess([], 1, "", "WARNING")
    monkeypatch.setattr(book.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="WARNING"):
        book.build()
    assert page.read_text() == before


def test_a_second_build_waits_for_the_first(project, built, monkeypatch):
    waits = threading.Event()
    monkeypatch.setattr("builtins.print", lambda text, **_: "waiting" in text and waits.set())
    (project / "_build").mkdir()
    with FileLock(project / "_build" / ".lock"):
        other = threading.Thread(target=book.build)
        other.start()
        assert waits.wait(30)
        assert built == []
    other.join(30)
    assert built == ["01-page", "00-runs"]


def test_a_source_that_cannot_be_written_is_copied_writable(project, built):
    book.build()
    assert (project / "_build" / "source" / "page.md").stat().st_mode & 0o200


def test_an_output_that_cannot_be_written_is_known_first(project, monkeypatch):
    monkeypatch.setattr("papermill.execute_notebook", None)
    (project / "file").touch()
    os.mkfifo(device := project / "device")
    into = project / "file" / "out.ipynb", project / "/proc/nope/out.ipynb"
    for output in (project, Path("."), Path("/"), device, *into):
        with pytest.raises(UserError, match=r"Cannot write '.*'"):
            book.run("01-page", {}, output)
    assert device.is_fifo()  # a renamed file would have taken its place
