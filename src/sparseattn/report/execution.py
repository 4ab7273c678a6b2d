"""Parameters → one executed notebook, which remembers what it came from.

It is executed again only when one of its modules, data or parameters changed. Jupyter Book's own
cache does not notice a change in `src/`.
"""

import ast
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sparseattn
from sparseattn import paths
from sparseattn.errors import ExplainedError, UserError
from sparseattn.report.parameters import validated
from sparseattn.report.provenance import DIGEST, METADATA, digest_of, origin_in

log = logging.getLogger("sparseattn")

_RESULTS = "sparseattn.results.published"
_PAGES = "sparseattn.report.ledger"


def execute(notebook: str, values: Mapping[str, Any], output: Path) -> Path:
    """Execute one notebook with parameters that differ from its defaults.

    Returns `output`, the executed ``.ipynb``, written only when every cell succeeded. A UserError
    for a bad parameter or an output that cannot be written (before anything starts), or with the
    message of the cell that failed; an ExplainedError when a cell fails otherwise.
    """
    import jupytext
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    validated(notebook, values)
    write_aside(output, b"")  # that it cannot be is better known now
    source = jupytext.read(paths.notebooks() / f"{notebook}.py")
    source.metadata.pop("jupytext", None)  # an executed copy is paired with nothing
    begun = time.monotonic()
    try:
        # No paths: papermill would take braces in them for a template.
        executed = papermill.execute_notebook(
            source,
            None,
            parameters=dict(values),
            kernel_name="python3",
            progress_bar=False,
            # Not a warning about its own transport for each notebook.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        where = f"Notebook '{notebook}' failed in cell {error.cell_index}"
        if error.ename == "UserError":
            raise UserError(f"{where}: {error.evalue}") from None
        raise ExplainedError(f"{where}.\n{error}") from None
    _record_origin(executed, notebook, values, time.monotonic() - begun)
    executed.metadata[METADATA][DIGEST] = digest_of(json.loads(nbformat.writes(executed)))
    write_aside(output, nbformat.writes(executed).encode()).replace(output)
    return output


def write_aside(output: Path, content: bytes) -> Path:
    """Write what is to become a file beside it; without content, only see whether that works.

    A UserError when the system refuses, with its reason.
    """
    aside = output.parent / f".{output.name}.partial"
    try:
        if output.exists() and not output.is_file():  # renaming onto a device would remove it
            raise IsADirectoryError(0, "it is a folder" if output.is_dir() else "it is a device")
        output.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content or b" " * 4096)
        if not content:
            aside.unlink()
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        inside = isinstance(error, FileExistsError | NotADirectoryError)
        why = "part of its path is a file" if inside else error.strerror or error
        raise UserError(f"Cannot write '{output}': {why}. Name another file with -o.") from None
    return aside


def pair(notebook: str) -> Path:
    """Write a notebook's ``.ipynb`` from its ``.py``, with the outputs that must reproduce.

    It is executed with its default parameters; only the outputs of cells marked ``#
    NBVAL_CHECK_OUTPUT`` are kept, so that committed differences stay readable.
    """
    import nbformat

    target = paths.notebooks() / f"{notebook}.ipynb"
    with tempfile.TemporaryDirectory() as folder:
        executed = nbformat.read(execute(notebook, {}, Path(folder) / target.name), as_version=4)
    del executed.metadata[METADATA]
    for number, cell in enumerate(executed.cells):
        cell.id = f"cell-{number:02}"
        if cell.cell_type == "code":
            checked = "# NBVAL_CHECK_OUTPUT" in cell.source
            cell.outputs = cell.outputs if checked else []
            # nbval takes a cell without a count for one that was never run.
            cell.execution_count = 1 if checked else None
    executed.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    nbformat.write(executed, target)
    return target


def is_current(notebook: str, values: Mapping[str, Any], executed: Path) -> bool:
    """Tell whether an executed notebook still is what executing it again would give.

    True when parameters, notebook source, every module it had imported, the requirements, the
    data and, of a page on the build, the pages before it are the same as when it ran.
    """
    known = origin_in(executed)
    if not known and executed.is_file():
        log.warning("%s is not as it was when executed; it is executed again.", executed)
    return (
        known.get("parameters") == json.loads(json.dumps(dict(values)))
        and "modules" in known
        and known.get("inputs") == _inputs(notebook, values, known["modules"])
    )


def comes_last(notebook: str) -> bool:
    """Tell whether a notebook must wait for all before it: it reads what they left."""
    source = (paths.notebooks() / f"{notebook}.py").read_text(encoding="utf-8")
    used = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return file_of(_PAGES).is_file() and _PAGES in used


@cache
def file_of(module: str) -> Path:
    """Return where a module lies, without importing it; a name that is none any more raises."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"There is no module {module}.")
    return Path(found.origin)


def hash_of(files: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of files, ``missing`` for those that are."""
    return [
        hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
        for file in files
    ]


def _inputs(notebook: str, values: Mapping[str, Any], modules: list[str]) -> dict[str, str]:
    """Hash what an execution depends on: name → sha256."""
    package = Path(sparseattn.__file__).parent
    files = {f"src/{module}": package / module for module in modules}
    reads = set(files.values())
    files["notebook"] = paths.notebooks() / f"{notebook}.py"
    files["requirements"] = paths.root() / "requirements.txt"
    for figures in sorted(paths.book().glob("*/*.csv")):
        files[f"paper/{figures.name}"] = figures
    if file_of(_RESULTS) in reads:  # each record holds the checksum of its measurements
        for record in sorted(paths.results().rglob("*.json")):
            files[f"results/{record.relative_to(paths.results())}"] = record
    if file_of(_PAGES) in reads:  # what it says of the pages before it
        for earlier in paths.notebook_names():
            if earlier < notebook:
                files[f"executed/{earlier}"] = paths.executed_notebook(earlier)
    task = str(values.get("task", "planted"))
    if Path(task).is_file():
        files["task"] = Path(task)
    hashes = dict(zip(files, hash_of(files.values()), strict=True))
    data = os.environ.get("SPARSEATTN_DATA")
    if data and task != "planted":  # large and read-only: names and sizes stand for the contents
        listing = [
            (str(path.relative_to(data)), path.stat().st_size)
            for path in sorted(Path(data).rglob("*.gz"))
        ]
        hashes["data"] = hashlib.sha256(repr(listing).encode()).hexdigest()
    return hashes


def _record_origin(executed: Any, notebook: str, values: Mapping[str, Any], seconds: float) -> None:
    """Put an executed notebook's origin into it, and take out papermill's paths and times."""
    modules: list[str] = []
    runs: list[str] = []
    for cell in executed.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        for result in cell.get("outputs", []):  # the provenance cell lists what was used
            used = result.get("metadata", {}).get(METADATA, {})
            modules, runs = used.get("modules", modules), used.get("runs", runs)
    executed.metadata.pop("papermill", None)
    executed.metadata[METADATA] = {
        "parameters": dict(values),
        "modules": modules,
        "runs": runs,
        "seconds": round(seconds, 2),
        "date": datetime.now(UTC).isoformat(),
        "inputs": _inputs(notebook, values, modules),
    }
