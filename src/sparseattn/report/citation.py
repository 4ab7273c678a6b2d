"""How to cite: ``CITATION.cff`` read, checked against what its format requires, and spelled out.

References
----------
Druskat et al. (2021), Citation File Format 1.2.0, doi 10.5281/zenodo.5171937.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sparseattn import paths
from sparseattn.errors import UserError, validate
from sparseattn.report.parameters import load_yaml

FILE = "CITATION.cff"


class Author(BaseModel):
    """A person (family and given names) or an entity (a name)."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    family: str = Field("", alias="family-names")
    given: str = Field("", alias="given-names")
    name: str = ""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "Author":
        if bool(self.name) == bool(self.family or self.given):
            raise ValueError("an author has a name (of an entity), or family and given names.")
        return self

    @property
    def full(self) -> str:
        """The name, given names first."""
        return self.name or f"{self.given} {self.family}".strip()


class Work(BaseModel):
    """A work that is cited: required are its type, title and authors."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(min_length=1)
    title: str = Field(min_length=1)
    authors: Annotated[list[Author], Field(min_length=1)]
    year: int | None = None
    doi: str | None = Field(None, pattern=r"^10\.\d{4,9}(\.\d+)?/\S+$")


class Citation(BaseModel):
    """The file itself: required are ``cff-version``, ``message``, ``title`` and ``authors``."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    cff_version: Literal["1.2.0"] = Field(alias="cff-version")
    message: str = Field(min_length=1)
    title: str = Field(min_length=1)
    authors: Annotated[list[Author], Field(min_length=1)]
    type: Literal["software", "dataset"] = "software"
    version: str = ""
    released: datetime.date | None = Field(None, alias="date-released")
    license: str = ""
    doi: str | None = Field(None, pattern=r"^10\.\d{4,9}(\.\d+)?/\S+$")
    references: list[Work] = []

    def text(self) -> str:
        """Return the reference as one writes it."""
        year = f" ({self.released.year})" if self.released else ""
        version = f", version {self.version}" if self.version else ""
        return f"{_names(self.authors)}{year}. {self.title}{version}."

    def bibtex(self) -> str:
        """Return the reference as a BibTeX entry."""
        fields = {
            "author": " and ".join(
                f"{{{one.name}}}" if one.name else f"{one.family}, {one.given}"
                for one in self.authors
            ),
            "title": self.title,
            "year": str(self.released.year) if self.released else "",
            "version": self.version,
            "license": self.license,
            "doi": self.doi or "",
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join(["@software{sparseattn,", *lines, "}"])


def read(file: Path | None = None) -> Citation:
    """Read and check a citation file.

    Parameters
    ----------
    file
        The project's ``CITATION.cff`` by default.

    Raises
    ------
    UserError
        When it is missing, is not YAML, or lacks what the format requires.
    """
    file = paths.root() / FILE if file is None else file
    try:
        values: Any = load_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the citation file '{file}': {error.strerror}.") from None
    if not isinstance(values, Mapping):
        raise UserError(f"The citation file '{file}' must hold lines like 'title: …'.")
    try:
        return validate(Citation, values)
    except UserError as error:
        raise UserError(f"The citation file '{file}': {error}") from None


def _names(authors: list[Author]) -> str:
    names = [one.full for one in authors]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
