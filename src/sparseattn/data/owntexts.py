"""The user's own file of texts with two classes, and advice for what may be wrong with it."""

from dataclasses import dataclass
from pathlib import Path

from sparseattn.data.corpora import Rows
from sparseattn.data.files import JSON_FORM, listed, read_columns
from sparseattn.errors import UserError, nearest
from sparseattn.wording import visible

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
    texts, values = read_columns(
        path,
        (text_column, label_column),
        "The first row names the columns; say which with the options text_column and label_column.",
    )
    odd = [type(text) for text in texts if not isinstance(text, str | int | float | None)]
    if odd:
        raise UserError(
            f"Column '{text_column}' of {path.name} must hold texts, not {odd[0].__name__}. "
            f"{JSON_FORM}"
        )
    labels = [_label(value) for value in values]
    if "" in labels:
        raise UserError(
            f"{path.name} has {labels.count('')} rows without a label in column "
            f"'{label_column}', the first is row {labels.index('') + 1}. "
            "Fill them in or take them out: empty, null and NaN are no label."
        )
    classes = sorted(set(labels), key=_label_order)
    if len(classes) != 2:
        raise UserError(
            f"Column '{label_column}' of {path.name} must hold two classes; "
            f"it holds {len(classes)}: {listed(classes)}."
        )
    rows = [
        ("" if text is None or text != text else str(text), classes.index(label))  # NaN: no text
        for text, label in zip(texts, labels, strict=True)
    ]
    return OwnTexts(rows, (classes[0], classes[1]))


def is_own(name: str) -> bool:
    """Return whether a task's name is the path of a file of texts: one of `FILE_KINDS`, or .gz."""
    return name.lower().removesuffix(".gz").endswith(FILE_KINDS)


def check_own(path: Path) -> None:
    """Raise a UserError unless the path is a file that is not empty."""
    if not path.is_file():
        folder = path.parent.iterdir() if path.parent.is_dir() else ()
        others = [other.name for other in folder if other.is_file() and is_own(other.name)]
        raise UserError(
            f"There is no file '{visible(str(path), None)}'.{nearest(path.name, others)}"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path.name} is empty. It needs a text and a label column.")


def _label(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    label = str(value).strip()
    return "" if label.lower().lstrip("+-") == "nan" else label


def _label_order(label: str) -> tuple[bool, float, str]:
    try:
        return (False, float(label), label)
    except ValueError:
        return (True, 0.0, label)
