"""The user's own file of texts with two classes, and advice for what may be wrong with it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparseattn.data.corpora import Rows
from sparseattn.data.files import JSON_FORM, quoted, read_columns, read_rows
from sparseattn.errors import UserError, nearest
from sparseattn.wording import visible

FILE_KINDS = (".csv", ".jsonl", ".json")
TEXT_NAMES = ("text", "review", "sentence", "comment", "content", "body", "document", "message")
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "target", "category", "polarity", "rating", "stars",
    "score",
)  # fmt: skip
"""What such columns are usually called; a column of another name may still be one."""
_WORDS = 3  # fewer, on average, are no texts
_LONGEST_NAME = 6  # words of a column's name


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
            f"it holds {len(classes)}: {quoted(classes)}."
        )
    rows = [
        ("" if text is None or text != text else str(text), classes.index(label))  # NaN: no text
        for text, label in zip(texts, labels, strict=True)
    ]
    return OwnTexts(rows, (classes[0], classes[1]))


def find_columns(path: Path, text: str | None = None, label: str | None = None) -> tuple[str, str]:
    """Return which columns of a user's file hold the texts and their labels, where that is safe.

    Texts are mostly different from each other and of several words; labels are two. Where one
    column alone is such, it is taken; of several, the one that has a usual name (`TEXT_NAMES`,
    `LABEL_NAMES`). `text` and `label` are the columns, where they are known. A `UserError` where it
    is not safe, naming the columns; and as `read_own` for a file of another form.
    """
    check_own(path)
    rows = read_rows(path)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in (text, label):
        if name is not None and name not in columns:
            raise UserError(
                f"{path.name} has no column '{name}'; it has {quoted(columns)}."
                f"{nearest(name, columns)}"
            )
    values = {name: [row.get(name) for row in rows] for name in columns}
    labels = {name: sorted({_label(one) for one in values[name]} - {""}) for name in columns}
    texts = [name for name in columns if name != label and _are_texts(values[name])]
    pairs = [name for name in columns if len(labels[name]) == 2 and name not in (text, *texts)]
    # What is called a label and holds more than two is meant, whatever else holds two.
    many = [
        name
        for name in columns
        if _usual(name, LABEL_NAMES) and len(labels[name]) != 2 and name not in (text, *texts)
    ]
    text = text or _alone(texts, TEXT_NAMES)
    if label is None and (not many or any(_usual(name, LABEL_NAMES) for name in pairs)):
        label = _alone(pairs, LABEL_NAMES)
    if text and label:
        _check_header(path, text, label, labels[label])
        return text, label
    told = [f"Which columns of {path.name} to read is not clear. It has {quoted(columns)}."]
    if not text:
        seen = f"{quoted(texts)} all hold texts" if texts else "none holds texts of several words"
        told.append(f"The texts: {seen}; name their column with --text COLUMN.")
    if not label:
        if pairs and not many:
            seen = f"{quoted(pairs)} all hold two values"
        elif many:
            seen = f"'{many[0]}' holds {len(labels[many[0]])} values, and labels must be two"
        else:
            seen = "none holds exactly two values"
        told.append(f"The labels: {seen}; name a column of two with --label COLUMN.")
    raise UserError("\n".join(told))


def _alone(names: Sequence[str], usual: Collection[str]) -> str | None:
    """Return the one name, or the one of several that is usual; None where that is not one."""
    known = [name for name in names if _usual(name, usual)]
    for some in (names, known):
        if len(some) == 1:
            return some[0]
    return None


def _usual(name: str, usual: Collection[str]) -> bool:
    return name.strip().lower() in usual


def _are_texts(values: Sequence[object]) -> bool:
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    words = sum(len(text.split()) for text in texts)
    return bool(texts) and words >= _WORDS * len(texts) and 2 * len(set(texts)) > len(texts)


def _check_header(path: Path, text: str, label: str, labels: Sequence[str]) -> None:
    """Refuse a first row that is one of the texts, not the names of the columns."""
    if label.strip() in labels or len(text.split()) > _LONGEST_NAME:
        raise UserError(
            f"The first row of {path.name} must name the columns, but it seems to be a text and "
            f"its label: {quoted([text, label])}. Put a row above it, such as: text,label"
        )


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
