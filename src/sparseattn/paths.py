"""Where the project's folders are, whatever the working directory."""

import os
from pathlib import Path

from sparseattn.errors import UserError

VARIABLE = "SPARSEATTN_ROOT"
STORE_VARIABLE = "SPARSEATTN_STORE"


def root() -> Path:
    """Return the project's folder, absolute: that of ``SPARSEATTN_ROOT``, else of this source.

    A UserError when that folder does not hold the project.
    """
    named = os.environ.get(VARIABLE)
    folder = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[2]
    if (folder / "pyproject.toml").is_file() and (folder / "book").is_dir():
        return folder
    if named:
        raise UserError(
            f"{VARIABLE} is {named!r}, but there is no pyproject.toml with a book/ beside it: "
            f"let {VARIABLE} name the folder the project was cloned into, or unset it."
        )
    raise UserError(
        "The project's folder is unknown, as the package is installed apart from it. Install it "
        f"with 'pip install -e .' in the project's folder, or let {VARIABLE} name that folder."
    )


def book() -> Path:
    """Return the folder of the book's pages."""
    return root() / "book"


def notebooks() -> Path:
    """Return the folder of the notebooks' sources."""
    return root() / "notebooks"


def notebook_names() -> list[str]:
    """Return the names of the notebooks, in order, without ending."""
    return sorted(path.stem for path in notebooks().glob("[0-9]*.py"))


def executed_notebook(notebook: str) -> Path:
    """Return where the book's executed copy of a notebook is, or would be."""
    return root() / "_build" / "executed" / f"{notebook}.ipynb"


def results() -> Path:
    """Return the folder of the published measurements."""
    return book() / "results"


def store() -> Path:
    """Return the folder of the runs computed here: ``SPARSEATTN_STORE``, else ``.runs``."""
    named = os.environ.get(STORE_VARIABLE)
    return Path(named).expanduser().absolute() if named else root() / ".runs"
