"""Parameters → executed notebooks → book.

An executed notebook remembers the modules, data and parameters it came from, and is executed
again only when one of them changed. Jupyter Book's own cache does not notice a change in `src/`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

import sparseattn
from sparseattn import paths
from sparseattn.errors import UserError, nearest
from sparseattn.report import changes, yamls
from sparseattn.report.address import Address, address

CHANGES = "changes.md"  # in _build: what the last execution changed
METADATA = "sparseattn"  # where an executed notebook keeps its origin
_BOOK_FILES = ("_config.yml", "_toc.yml")


def notebooks() -> list[str]:
    """Return the names of the notebooks, in order, without ending."""
    return sorted(path.stem for path in paths.notebooks().glob("[0-9]*.py"))


def executed_notebook(notebook: str) -> Path:
    """Return where the book's executed copy of a notebook is, or would be."""
    return paths.root() / "_build" / "executed" / f"{notebook}.ipynb"


def read_parameters(file: Path) -> dict[str, Any]:
    """Read a YAML file of parameters.

    Raises
    ------
    UserError
        When it cannot be read, is not YAML, or is not a mapping of names to values.
    """
    try:
        values = yamls.load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the parameters file '{file}': {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The parameters file '{file}' is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(
            f"The parameters file '{file}' holds a {type(values).__name__}; "
            "expected lines like 'task: sst'."
        )
    return {str(name): value for name, value in values.items()}


def execute(notebook: str, values: Mapping[str, Any], output: Path) -> Path:
    """Execute one notebook with parameters.

    Parameters
    ----------
    notebook
        Name without ending, such as ``05-agreement``.
    values
        Parameters that differ from the notebook's defaults.
    output
        Where the executed ``.ipynb`` goes; its folder is made.

    Returns
    -------
    Path
        `output`, written only when every cell succeeded.

    Raises
    ------
    UserError
        For a bad parameter (before anything starts), or with the message of the cell that failed.
    """
    import jupytext
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from sparseattn.report.parameters import validated

    validated(notebook, values)
    source = jupytext.read(paths.notebooks() / f"{notebook}.py")
    source.metadata.pop("jupytext", None)  # an executed copy is paired with nothing
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        start, end = Path(folder) / "source.ipynb", Path(folder) / "executed.ipynb"
        jupytext.write(source, start)
        begun = time.monotonic()
        try:
            executed = papermill.execute_notebook(
                start,
                end,
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
            raise RuntimeError(f"{where}.\n{error}") from None
        _record_origin(executed, notebook, values, time.monotonic() - begun)
        nbformat.write(executed, end)
        os.replace(end, output)
    return output


def build(parameters_file: Path | None = None, output: Path | None = None) -> Path:
    """Execute what changed and stitch the book.

    Parameters
    ----------
    parameters_file
        YAML; each notebook receives those it declares. None: every notebook's defaults.
    output
        Folder of the pages, ``_build/html`` by default.

    Returns
    -------
    Path
        The first page, ``index.html``.

    Raises
    ------
    UserError
        For a bad parameter, a failing notebook, a parameter no notebook declares, or an address
        in the environment that is none.
    RuntimeError
        When a notebook or Jupyter Book fails otherwise; warnings of the latter are failures.
    """
    from sparseattn.report.parameters import declared

    where = address()
    values = read_parameters(parameters_file) if parameters_file else {}
    known = {name: declared(name) for name in notebooks()}
    everywhere = sorted(set().union(*known.values()))
    for name in values:
        if name not in everywhere:
            raise UserError(
                f"Unknown parameter '{name}': no notebook declares it."
                f"{nearest(name, everywhere)} Known: {', '.join(everywhere)}."
            )
    build_folder = paths.root() / "_build"
    output = output or build_folder / "html"
    executed = [executed_notebook(notebook) for notebook in known]
    before = changes.of_files(executed)
    for (notebook, own), target in zip(known.items(), executed, strict=True):
        given = {name: value for name, value in values.items() if name in own}
        if is_current(notebook, given, target):
            print(f"{notebook}: unchanged", flush=True)
        else:
            print(f"{notebook}: executing …", flush=True)
            execute(notebook, given, target)
    changed = changes.compare(before, changes.of_files(executed))
    if len(changed):  # else what the last change was stays to be read
        (build_folder / CHANGES).write_text(changes.as_markdown(changed), encoding="utf-8")
        print(f"{changes.as_text(changed)}\nAll of it: {build_folder / CHANGES}", flush=True)
    return _stitch(executed, build_folder / "source", output, where)


def pair(notebook: str) -> Path:
    """Write a notebook's ``.ipynb`` from its ``.py``, with the outputs that must reproduce.

    Parameters
    ----------
    notebook
        Name without ending. It is executed with its default parameters; only the outputs of
        cells marked ``# NBVAL_CHECK_OUTPUT`` are kept, so that committed differences stay
        readable.

    Returns
    -------
    Path
        The ``.ipynb`` beside the source.
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
    try:
        origin = json.loads(executed.read_text(encoding="utf-8"))["metadata"][METADATA]
        return bool(
            origin["parameters"] == json.loads(json.dumps(dict(values)))
            and origin["inputs"] == _inputs(notebook, values, origin["modules"])
        )
    except (OSError, KeyError, ValueError):
        return False


def _inputs(notebook: str, values: Mapping[str, Any], modules: list[str]) -> dict[str, str]:
    """Hash what an execution depends on: name → sha256."""
    from sparseattn.report import builds
    from sparseattn.results import published

    package = Path(sparseattn.__file__).parent
    files = {f"src/{module}": package / module for module in modules}
    reads = {str(files[name]) for name in files}
    files["notebook"] = paths.notebooks() / f"{notebook}.py"
    files["requirements"] = paths.root() / "requirements.txt"
    for figures in sorted((paths.book() / "paper").glob("*.csv")):
        files[f"paper/{figures.name}"] = figures
    if published.__file__ in reads:  # each record holds the checksum of its measurements
        for record in sorted(paths.results().rglob("*.json")):
            files[f"results/{record.parent.name}/{record.name}"] = record
    if builds.__file__ in reads:  # what it says of the pages before it
        for earlier in notebooks():
            if earlier < notebook:
                files[f"executed/{earlier}"] = executed_notebook(earlier)
    task = str(values.get("task", "planted"))
    if Path(task).is_file():
        files["task"] = Path(task)
    hashes = {name: _sha256(path) for name, path in files.items()}
    data = os.environ.get("SPARSEATTN_DATA")
    if data and task != "planted":  # large and read-only: names and sizes stand for the contents
        listing = [
            (str(path.relative_to(data)), path.stat().st_size)
            for path in sorted(Path(data).rglob("*.gz"))
        ]
        hashes["data"] = hashlib.sha256(repr(listing).encode()).hexdigest()
    return hashes


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


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


def _stitch(executed: list[Path], source: Path, output: Path, where: Address) -> Path:
    """Assemble the book's source and let Jupyter Book make pages of it, unless nothing changed."""
    from sparseattn.charts import colours, figure
    from sparseattn.report import address, sphinx_extension

    making = (sys.modules[__name__], figure, colours, address, sphinx_extension)
    parts = [
        *(paths.root() / name for name in _BOOK_FILES),
        *(path for path in sorted(paths.book().rglob("*")) if path.is_file()),
        *executed,
        *(Path(str(one.__file__)) for one in making),
    ]
    described = "".join(_sha256(path) for path in parts) + repr(where)
    fingerprint = hashlib.sha256(described.encode()).hexdigest()
    stamp = output / ".fingerprint"
    if stamp.is_file() and stamp.read_text() == fingerprint:
        print("book: unchanged", flush=True)
        return output / "index.html"

    from sparseattn.charts.figure import write_card, write_scripts

    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(paths.book(), source, ignore=shutil.ignore_patterns("results", "parameters"))
    for name in _BOOK_FILES:
        shutil.copy2(paths.root() / name, source)
    config = yamls.load((source / "_config.yml").read_text(encoding="utf-8"))
    (source / "_config.yml").write_text(yaml.safe_dump(where.configured(config)), encoding="utf-8")
    (source / "notebooks").mkdir()
    for notebook in executed:
        shutil.copy2(notebook, source / "notebooks")
    write_scripts(source / "_extra")
    write_card(source / "_templates" / "card.svg", source / "_extra")
    pages = source.parent / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source)]
    command += ["--path-output", str(pages), "-W", "-n", "--keep-going"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"Jupyter Book failed:\n{finished.stdout}\n{finished.stderr}")
    shutil.rmtree(output, ignore_errors=True)
    shutil.move(pages / "_build" / "html", output)
    stamp.write_text(fingerprint)
    return output / "index.html"
