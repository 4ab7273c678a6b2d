"""The user's own file of texts with two classes, and advice for what may be wrong with it."""

import csv
import gzip
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparseattn.data.corpora import Kind, Rows, read_local
from sparseattn.errors import UserError, nearest

FILE_KINDS = (".csv", ".jsonl", ".json")


@dataclass(frozen=True)
class OwnTexts:
    """The user's texts, labelled 0 and 1, and the names these two labels had."""

    rows: Rows
    classes: tuple[str, str]


def read_own(path: Path, text_column: str, label_column: str) -> OwnTexts:
    """Read the user's file of texts with two classes, empty texts too.

    The file is ``.csv``, ``.jsonl`` or ``.json``, possibly with ``.gz`` behind, in UTF-8. Labels
    may be any two values; in sorted order (as numbers, when both are) they become 0 and 1. A
    UserError for each thing that may be wrong with such a file.
    """
    check_own(path)
    header = _check_encoding(path)
    kind: Kind = "csv" if path.name.lower().removesuffix(".gz").endswith(".csv") else "json"
    settings = _csv_settings(header) if kind == "csv" else {}
    columns = read_local(kind, {"train": path}, **settings)["train"]
    for wanted, option in ((text_column, "text_column"), (label_column, "label_column")):
        if wanted not in columns:
            raise UserError(
                f"{path.name} has no column '{wanted}'; it has {_listed(columns)}."
                f"{nearest(wanted, columns)} Name it with the option {option}."
            )
    labels = [_label(value) for value in columns[label_column]]
    odd = [text for text in columns[text_column] if not isinstance(text, str | int | float | None)]
    if odd:
        raise UserError(
            f"Column '{text_column}' of {path.name} must hold texts, not {type(odd[0]).__name__}."
        )
    texts = ["" if text is None else str(text) for text in columns[text_column]]
    if "" in labels:
        raise UserError(
            f"{path.name} has {labels.count('')} rows without a label in column "
            f"'{label_column}', the first is row {labels.index('') + 1}. "
            "Fill them in or take them out."
        )
    classes = sorted(set(labels), key=_label_order)
    if len(classes) != 2:
        raise UserError(
            f"Column '{label_column}' of {path.name} must hold two classes; "
            f"it holds {len(classes)}: {_listed(classes)}."
        )
    rows = [(text, classes.index(label)) for text, label in zip(texts, labels, strict=True)]
    return OwnTexts(rows, (classes[0], classes[1]))


def is_own(name: str) -> bool:
    """Return whether a task's name is the path of a file of texts: one of `FILE_KINDS`, or .gz."""
    return name.lower().removesuffix(".gz").endswith(FILE_KINDS)


def check_own(path: Path) -> None:
    """Raise a UserError unless the path is a file that is not empty."""
    if not path.is_file():
        folder = path.parent.iterdir() if path.parent.is_dir() else ()
        others = [other.name for other in folder if other.is_file() and is_own(other.name)]
        raise UserError(f"There is no file '{path}'.{nearest(path.name, others)}")
    if path.stat().st_size == 0:
        raise UserError(f"{path.name} is empty. It needs a text and a label column.")


def _check_encoding(path: Path) -> str:
    """Return the first line of a file, after checking that all of it is UTF-8."""
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        header = raw.decode("utf-8").partition("\n")[0]
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path.name} is not UTF-8: byte {error.start}, in line {line}, cannot be read. "
            "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again."
        ) from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"{path.name} ends in .gz but is not a whole gzip file: {error}") from error
    if not header.strip():
        raise UserError(f"{path.name} is empty. It needs a text and a label column.")
    return header


def _csv_settings(header: str) -> dict[str, Any]:
    """Separator and column types of a CSV file, from its first line: everything is a string."""
    from datasets import Features, Value

    # Spreadsheets write semicolons where the comma is the decimal mark.
    separator = max(",;\t", key=header.count)
    names = next(csv.reader([header.removeprefix("\ufeff")], delimiter=separator))
    if len(set(names)) < len(names):
        raise UserError(f"The header names a column twice: {_listed(names)}.")
    # "NA" and "null" are words, not missing values.
    return {
        "sep": separator,
        "keep_default_na": False,
        "features": Features({name: Value("string") for name in names}),
    }


def _label(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _label_order(label: str) -> tuple[bool, float, str]:
    try:
        return (False, float(label), label)
    except ValueError:
        return (True, 0.0, label)


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"'{name[:40]}'" for name in list(names)[:10]) + more
