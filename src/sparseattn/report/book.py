"""Parameters → executed notebooks → book."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from sparseattn import paths
from sparseattn.errors import ExplainedError, UserError, among
from sparseattn.experiments.machine import cores
from sparseattn.report import onefile, printed
from sparseattn.report.execution import (
    comes_last,
    execute,
    file_of,
    hash_of,
    is_current,
    write_aside,
)
from sparseattn.report.parameters import compute, declared, load_yaml, read_parameters, validated

CHANGES = "changes.md"  # in _build: what the last execution changed
_BOOK_FILES = ("_config.yml", "_toc.yml")
_STAMP = ".fingerprint"  # what the pages were made of, and the names of all files of a book
_MAKING = (
    __name__, "sparseattn.report.sphinx_extension", "sparseattn.charts.figure",
    "sparseattn.charts.colours", "sparseattn.report.printed",
)  # fmt: skip

Pages = Mapping[str, Mapping[str, Any]]
"""Notebook → its parameters that differ from its defaults."""


def run(notebook: str, values: Mapping[str, Any], output: Path) -> Path:
    """Execute one notebook, having computed the runs it needs; otherwise as `execution.execute`.

    An `output` that ends in ``.html`` is one page that needs nothing else (`report.onefile`).
    """
    validated(notebook, values)
    write_aside(output, b"")
    compute({notebook: values})
    if output.suffix.lower() != onefile.ENDING:
        return execute(notebook, values, output)
    with tempfile.TemporaryDirectory() as folder:
        executed = execute(notebook, values, Path(folder) / f"{notebook}.ipynb")
        content = onefile.of_notebook(notebook, json.loads(executed.read_text(encoding="utf-8")))
    return onefile.write(output, content)


def build(
    parameters_file: Path | None = None, output: Path | None = None, pdf: bool = False
) -> Path:
    """Execute what changed, stitch the book, and return its first page, ``index.html``.

    Each notebook receives those parameters of the file, YAML, that it declares. The `output` is the
    folder of the pages, ``_build/html`` by default: what lies there is replaced once the new pages
    are made; files that no build made stay. With `pdf` the whole book is printed into one file,
    too, which its first page then links to.

    A UserError for a bad parameter, a failing notebook, a parameter no notebook declares, an
    address in the environment that is none, or an output folder that is not a book's or cannot be
    written; an ExplainedError when a notebook or Jupyter Book, whose warnings count, fails
    otherwise.
    """
    where = address()
    values = read_parameters(parameters_file) if parameters_file else {}
    known = {name: declared(name) for name in paths.notebook_names()}
    everywhere = sorted(set().union(*known.values()))
    for name in values:
        if name not in everywhere:
            raise UserError(
                f"Unknown parameter '{name}': no notebook declares it.{among(name, everywhere)}"
            )
    build_folder = paths.root() / "_build"
    output = (output or build_folder / "html").absolute()
    _check_folder(build_folder)
    _check_folder(output)
    if output.is_dir() and any(output.iterdir()) and not (output / _STAMP).is_file():
        raise UserError(
            f"'{output}' holds files that no build made, which a book would take the place of: "
            "name an empty folder, or a new one, with -o."
        )
    pages = {
        notebook: {name: value for name, value in values.items() if name in own}
        for notebook, own in known.items()
    }
    with _writing(build_folder), _alone(build_folder):
        _restore(output)
        _execute(pages, build_folder / CHANGES)
        return _stitch([paths.executed_notebook(name) for name in pages], output, where, pdf)


def _check_folder(folder: Path) -> None:
    """See that a folder can be written, or made, before anything is computed."""
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(0, "it is a file")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.parent):  # without a name: a kill leaves none
            pass
    except OSError as error:
        raise UserError(
            f"Cannot write the folder '{folder}': {error.strerror or error}. Name another with -o, "
            "or get permission there."
        ) from None


@contextmanager
def _writing(build_folder: Path) -> Iterator[None]:
    """Explain what the system says when a book cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
            raise
        raise UserError(
            f"Cannot write the book in '{build_folder}' or its output: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. Make room or get permission "
            "there; an earlier book is unharmed, and the same command goes on."
        ) from error


@contextmanager
def _alone(build_folder: Path) -> Iterator[None]:
    """Let one build at a time use the folder."""
    build_folder.mkdir(exist_ok=True)
    lock = FileLock(build_folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another build is under way here; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _execute(pages: Pages, told: Path) -> None:
    """Execute the pages that are not current, side by side; those that read others after them."""
    targets = {notebook: paths.executed_notebook(notebook) for notebook in pages}
    places = count(1)

    def current(notebook: str) -> bool:
        return is_current(notebook, pages[notebook], targets[notebook])

    def done(notebook: str, how: str = "unchanged") -> None:
        print(f"{next(places):>2} of {len(pages)}  {notebook}: {how}", flush=True)

    last = [notebook for notebook in pages if comes_last(notebook)]
    stale = [notebook for notebook in pages if notebook not in last and not current(notebook)]
    for notebook in pages:
        if notebook not in last and notebook not in stale:
            done(notebook)
    if not stale and all(map(current, last)):
        for notebook in last:
            done(notebook)
        return

    from sparseattn.report import changes

    before = changes.of_files(targets.values())
    compute({notebook: pages[notebook] for notebook in stale})
    # One torch thread a kernel: several with more would fight over the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        running: dict[Future[Path], tuple[str, float]] = {}

        def start(notebook: str) -> None:
            print(f"{'':>8}  {notebook}: executing …", flush=True)
            begun = time.monotonic()
            job = pool.submit(execute, notebook, pages[notebook], targets[notebook])
            running[job] = notebook, begun

        def finish() -> None:
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                job.result()
                notebook, begun = running.pop(job)
                done(notebook, f"{time.monotonic() - begun:.0f} s")

        for notebook in stale:
            if len(running) == cores():
                finish()
            start(notebook)
        while running:
            finish()
        for notebook in last:
            if current(notebook):
                done(notebook)
            else:
                start(notebook)
                finish()
    changed = changes.between(before, changes.of_files(targets.values()))
    if len(changed):  # else what the last change was stays to be read
        told.write_text(changes.as_markdown(changed), encoding="utf-8")
        print(f"{changes.as_text(changed)}\nAll of it: {told}", flush=True)


def _stitch(executed: list[Path], output: Path, where: Mapping[str, str], pdf: bool) -> Path:
    """Assemble the book's source and let Jupyter Book make pages of it, unless nothing changed."""
    parts = [
        *(paths.root() / name for name in _BOOK_FILES),
        *(path for path in sorted(paths.book().rglob("*")) if path.is_file()),
        *executed,
        *(file_of(module) for module in _MAKING),
    ]
    described = "".join(hash_of(parts)) + repr(where) + repr(pdf)
    fingerprint = hashlib.sha256(described.encode()).hexdigest()
    page = output / "index.html"
    stamped, *names = _stamped(output) or [""]
    if stamped == fingerprint and all((output / name).is_file() for name in ["index.html", *names]):
        print("book: unchanged", flush=True)
        return page

    print("book: stitching …", flush=True)
    source, pages = paths.root() / "_build" / "source", paths.root() / "_build" / "pages"
    for scratch in (source, pages):
        _remove(scratch)
    _assemble(source, executed, where, pdf)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source)]
    command += ["--path-output", str(pages), "-W", "-n", "--keep-going"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise ExplainedError(f"Jupyter Book failed:\n{finished.stdout}\n{finished.stderr}")
    made = pages / "_build" / "html"
    if pdf:
        print("book: printing …", flush=True)
        printed.write(made, in_order(load_yaml((source / "_toc.yml").read_text(encoding="utf-8"))))
    _put_in_place(made, output, fingerprint)
    if not page.is_file():
        raise ExplainedError(f"The book has no first page {page}.")
    return page


def in_order(contents: Mapping[str, Any]) -> list[str]:
    """Return the pages of a book in the order of its ``_toc.yml``."""
    chapters = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [contents["root"], *chapters]


def _assemble(source: Path, executed: list[Path], where: Mapping[str, str], pdf: bool) -> None:
    from sparseattn.charts.figure import write_card, write_scripts

    files = {paths.root() / name: Path(name) for name in _BOOK_FILES}
    for file in paths.book().rglob("*"):
        inside = file.relative_to(paths.book())
        if file.is_file() and inside.parts[0] not in ("results", "parameters"):
            files[file] = inside
    files |= {notebook: Path("notebooks", notebook.name) for notebook in executed}
    for file, inside in files.items():
        (source / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, source / inside)  # without its mode: the book's may be read-only
    config = load_yaml((source / "_config.yml").read_text(encoding="utf-8"))
    config = _addressed(config, where)
    if pdf:  # else no page links to what is not there
        config["sphinx"]["config"]["html_context"]["pdf"] = printed.NAME
    (source / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    write_scripts(source / "_extra")
    write_card(source / "_templates" / "card.svg", source / "_extra")


def _put_in_place(made: Path, output: Path, fingerprint: str) -> None:
    """Let a new book take the place of an earlier one, which stays until then."""
    names = sorted(str(file.relative_to(made)) for file in made.rglob("*") if file.is_file())
    ours = {*_stamped(output)[1:], *names, _STAMP}
    for file in output.rglob("*"):
        inside = file.relative_to(output)
        if file.is_file() and len(ours) > 1 and str(inside) not in ours:  # somebody else's
            (made / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, made / inside)
    (made / _STAMP).write_text("\n".join([fingerprint, *names]), encoding="utf-8")
    new, old = _neighbours(output)
    shutil.move(made, new)
    if output.exists():
        output.rename(old)
    new.rename(output)
    _remove(old)


def _restore(output: Path) -> None:
    """Put back the book that a kill left beside its place, right before another was to take it."""
    new, old = _neighbours(output)
    if old.is_dir() and not output.exists():
        old.rename(output)
    for left in (new, old):
        _remove(left)


def _neighbours(output: Path) -> tuple[Path, Path]:
    """Return where a new book waits for its place, and where the old one stays until then."""
    return output.with_name(f".{output.name}.new"), output.with_name(f".{output.name}.old")


def _stamped(book: Path) -> list[str]:
    stamp = book / _STAMP
    return stamp.read_text(encoding="utf-8").split("\n") if stamp.is_file() else []


def _remove(folder: Path) -> None:
    """Remove a folder that the build made, read-only as its files may be."""
    if folder.is_dir():
        for inside in [folder, *folder.rglob("*")]:
            if inside.is_dir():
                inside.chmod(0o755)
        shutil.rmtree(folder)


# Binder and Colab take "owner/name" from a GitHub address; others have no such service.
_ADDRESS = {
    "BOOK_REPOSITORY": (
        r"(https://github\.com/[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?/(?!\.{1,2}/?$)"
        r"[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?",
        "a repository on GitHub, such as https://github.com/owner/name",
    ),
    "BOOK_BRANCH": (
        r"([A-Za-z0-9][A-Za-z0-9._-]*)",
        "a branch or tag of letters, digits, dots, hyphens and underscores, such as main",
    ),
    "BOOK_URL": (
        r"(https?://[^\s/?#]+(?:/[^\s?#]*?)?)/*",
        "where the book is published, such as https://owner.github.io/name/",
    ),
}


def address(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the environment says of the book's source and place; else a UserError.

    Both are unknown to whoever builds the book from a copy, and then nothing on the pages refers to
    them: ``BOOK_REPOSITORY`` (and ``BOOK_BRANCH``) adds the buttons that launch, edit and discuss a
    page, ``BOOK_URL`` makes the addresses in a page's preview whole.
    """
    found = {}
    for name, (pattern, expected) in _ADDRESS.items():
        given = environment.get(name, "").strip()
        matched = re.fullmatch(pattern, given)
        if given and matched is None:
            raise UserError(f"{name} was {given!r}; expected {expected}.")
        found[name] = matched[1] if matched else ""
    return found


def _addressed(config: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """Return Jupyter Book's configuration with what is known of the address filled in."""
    html, launch = dict(config.get("html", {})), dict(config.get("launch_buttons", {}))
    filled = {**config, "html": html, "launch_buttons": launch}
    if where["BOOK_URL"]:
        html["baseurl"] = f"{where['BOOK_URL']}/"
    if where["BOOK_REPOSITORY"]:
        filled["repository"] = {
            "url": where["BOOK_REPOSITORY"],
            "branch": where["BOOK_BRANCH"] or "main",
        }
        for button in ("repository", "issues", "edit_page"):
            html[f"use_{button}_button"] = True
        launch["notebook_interface"] = "jupyterlab"
        launch["binderhub_url"] = "https://mybinder.org"
        launch["colab_url"] = "https://colab.research.google.com"
    return filled
