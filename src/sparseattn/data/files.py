"""Columns of a local file, .csv, .json or .jsonl, gzipped or not: what is doubtful is refused."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sparseattn.errors import UserError, nearest
from sparseattn.wording import visible

JSON_FORM = (
    'One object a line is read, as {"text": "…", "label": 1}, or an array of such objects; '
    "pandas writes it with to_json(path, orient='records', lines=True)."
)
_HEADER = re.compile(r'\s*((?:"[^"]*"|[^"\r\n])*)')
_SURROGATE = re.compile("[\ud800-\udfff]")


def path_of(text: str) -> Path:
    """Return the path that a parameter names, ``~`` being home; a UserError where none can be."""
    try:
        path = Path(text).expanduser()
        str(path).encode("utf-8")
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"'{visible(text)}' names no file that can be read: {why}.") from None
    return path


def read_columns(path: Path, names: Sequence[str], advice: str = "") -> list[list[Any]]:
    """Read the named columns of a whole file, those of a CSV file as strings.

    None stands for a key that an object in JSON lacks. A UserError, naming the row, for a file of
    another form; `advice` ends the one for a column that is not there.
    """
    rows = read_rows(path, names)
    known = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        if name not in known:
            raise UserError(
                f"{path.name} has no column '{name}'; it has {quoted(known)}."
                f"{nearest(name, known)} {advice}".rstrip()
            )
    for number, row in enumerate(rows, 1):
        if _SURROGATE.search("".join(str(row.get(name)) for name in names)):
            raise UserError(
                f"Row {number} of {path.name} holds half a character (an escape \\ud800 to "
                "\\udfff alone). Take it out, or write the whole character."
            )
    return [[row.get(name) for row in rows] for name in names]


def read_rows(path: Path, wanted: Collection[str] = ()) -> list[dict[str, Any]]:
    """Read a file's rows, at least one: of each its values by column, those of CSV as strings.

    A UserError for a file of another form, and for a `wanted` column that a header names twice.
    """
    text = _read_text(path)
    is_csv = path.name.lower().removesuffix(".gz").endswith(".csv")
    rows = list(_csv_rows(path, text, wanted) if is_csv else _json_rows(path, text))
    if not rows:
        raise UserError(f"{path.name} is empty: it has no rows.")
    return rows


def quoted(names: Collection[str]) -> str:
    """Return the first ten names in quotes, and how many more there are."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"'{name[:40]}'" for name in list(names)[:10]) + more


def _read_text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        if raw.startswith(b"\x1f\x8b") or path.suffix.lower() == ".gz":
            raw = gzip.decompress(raw)
        if b"\0" in raw:  # of Latin letters, UTF-16 is UTF-8 with a null beside each
            raise UnicodeDecodeError("utf-8", raw, raw.index(b"\0"), len(raw), "null")
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path.name} is not UTF-8: byte {error.start}, in line {line}, cannot be read. "
            "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path.name} is not a whole gzip file: {error}") from error


def _csv_rows(path: Path, text: str, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
    if declared := re.match(r"sep=(.)[\r\n]+", text):  # Excel's own line
        separator, text = declared[1], text[declared.end() :]
    else:  # the commonest outside quotes; spreadsheets with a decimal comma write semicolons
        header = re.sub(r'"[^"]*"', "", _HEADER.match(text)[1])  # type: ignore[index]
        separator = max(",;\t|", key=header.count)
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    number, start = 0, 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if len(cells) < 2 and not "".join(cells).strip():
                continue
            if not names:
                names = [" ".join(cell.split()) for cell in cells]
                if twice := [name for name in wanted if names.count(name) > 1]:
                    raise UserError(
                        f"The header of {path.name} names a column twice: {quoted(twice)}. "
                        "Rename one of them."
                    )
                continue
            number += 1
            if len(cells) != len(names):
                raise UserError(
                    f"Row {number} of {path.name} (line {line}) has {len(cells)} fields, the "
                    f"header {len(names)}, separated by '{separator}'. Put each text that holds "
                    f"'{separator}' or a line break in quotes, and let no line end in "
                    f"'{separator}' that the header lacks. Separators read: , ; tab |"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise UserError(
            f"{path.name} could not be read as columns separated by '{separator}': the row that "
            f"begins in line {start} has a quote that does not close its field ({error}). "
            "Write a quote in a text twice, and put that text in quotes."
        ) from error


def _json_rows(path: Path, text: str) -> Iterator[dict[str, Any]]:
    lines = (json.loads(line) for line in io.StringIO(text, newline="") if line.strip())
    number = 0
    try:
        for row in json.loads(text) if text.lstrip().startswith("[") else lines:
            if not isinstance(row, dict):
                raise ValueError(f"it holds {row!r:.40}, which is no object")
            number += 1
            yield row
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path.name} could not be read as JSON objects after {number} rows: "
            f"{getattr(error, 'msg', error)}. {JSON_FORM}"
        ) from error
