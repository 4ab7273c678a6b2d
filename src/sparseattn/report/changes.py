"""What an execution changed: the numbers and verdicts in the tables of each page, before and after.

Every table leaves what it shows in the executed notebook (`charts.tables.Table.values`), so
two builds compare without executing anything, and a build with one that is published elsewhere.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from sparseattn.errors import UserError
from sparseattn.wording import verbatim

Values = Mapping[str, str]

_SHOWN = 12  # lines a page on the terminal
_SECONDS = 30


def values(executed: str) -> dict[str, str]:
    """Return what the tables of an executed notebook, given as JSON, show: name → text."""
    found: dict[str, str] = {}
    for cell in json.loads(executed)["cells"]:
        for output in cell.get("outputs", []):
            found |= output.get("metadata", {}).get("sparseattn", {}).get("values", {})
    return found


def of_files(files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Return the `values` of those executed notebooks that can be read: page → its values."""
    found = {}
    for file in files:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found[file.stem] = values(file.read_text(encoding="utf-8"))
    return found


def of_book(place: str, pages: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the `values` of those of some pages that a book has: page → its values.

    The `place` is a folder of executed notebooks, a built book, or the address of a published one;
    a UserError when there is no such folder, or the address does not answer.
    """
    if not place.startswith(("https://", "http://")):
        folder = Path(place)
        if not folder.is_dir():
            raise UserError(f"'{place}' is neither a folder nor an address of a book.")
        inside = folder / "_sources" / "notebooks"
        folder = inside if inside.is_dir() else folder
        return of_files(folder / f"{page}.ipynb" for page in pages)
    found = {}
    for page in pages:
        address = f"{place.rstrip('/')}/_sources/notebooks/{page}.ipynb"
        try:
            with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
                found[page] = values(answer.read().decode("utf-8"))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:
                raise UserError(f"{address} answers {error.code} {error.reason}.") from None
        except (urllib.error.URLError, TimeoutError) as error:
            raise UserError(f"{place} does not answer: {error}.") from None
    return found


def between(before: Mapping[str, Values], after: Mapping[str, Values]) -> pd.DataFrame:
    """Return what differs between two builds, page → its `values`, of the pages that both have.

    One row for each difference: ``page``, ``name``, and the texts ``before`` and ``after``, empty
    where a build does not have the name.
    """
    rows = [
        (page, name, before[page].get(name, ""), after[page].get(name, ""))
        for page in sorted(set(before) & set(after))
        for name in dict.fromkeys([*before[page], *after[page]])
        if before[page].get(name) != after[page].get(name)
    ]
    return pd.DataFrame(rows, columns=["page", "name", "before", "after"])


def as_markdown(changed: pd.DataFrame) -> str:
    """Return all differences as Markdown, a table a page; what is new or gone is only counted."""
    lines = ["# What this execution changed", ""]
    if changed.empty:
        lines.append("No number or verdict in any table.")
    for page, rows in changed.groupby("page", sort=False):
        lines += [f"## {page}", "", f"{_counts(rows)}.", ""]
        both = _both(rows)
        if len(both):
            lines += ["| | before | after |", "|:--|--:|--:|"]
            lines += [
                f"| {verbatim(row['name'])} | {_cell(row['before'])} | {_cell(row['after'])} |"
                for row in both.to_dict("records")
            ]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def as_text(changed: pd.DataFrame) -> str:
    """Return the differences for a terminal: a dozen lines a page, and how many more."""
    if changed.empty:
        return "No number or verdict in a table changed."
    lines = []
    for page, rows in changed.groupby("page", sort=False):
        both = _both(rows)
        lines.append(f"{page}: {_counts(rows)}")
        lines += [
            f"  {row['name']}: {row['before']} → {row['after']}"
            for row in both.head(_SHOWN).to_dict("records")
        ]
        if len(both) > _SHOWN:
            lines.append(f"  … and {len(both) - _SHOWN} more")
    return "\n".join(lines)


def _both(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["before"] != "") & (rows["after"] != "")]


def _counts(rows: pd.DataFrame) -> str:
    counts = {
        "changed": len(_both(rows)),
        "new": int((rows["before"] == "").sum()),
        "gone": int((rows["after"] == "").sum()),
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
