"""The files of published measurements: written compactly, and read back only as written."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sparseattn.errors import UserError
from sparseattn.files import TEXT_MOST, DamagedRunError, bounded, parsed
from sparseattn.measures.per_document import IMPORTANCES, INFLUENCES, measure

SIGNIFICANT_BITS = 14
"""Of a published value: its relative error is at most 2⁻¹⁴ ≈ 0.00006, which makes files small."""
TASK, KEY = "task.json", r"[0-9a-f]{16}"
CHECKSUM = "checksum"
"""The entry of a JSON file with the SHA-256 of the others, as JSON with sorted keys, no spaces."""

FILE_MOST, UNPACKED_MOST, ROWS_MOST = 2**26, 2**29, 2**24
"""Of a Parquet file that is read: the most bytes, the same unpacked, and the most numbers."""


@dataclass(frozen=True)
class Kind:
    """Results whose measurements are published alike, two files each."""

    folder: str  # where they lie in the task's
    origin: tuple[str, ...]  # which entries of a manifest are published
    scores: tuple[str, ...]  # those on whole splits, compared when a result is made again


_MAKING = (
    "key", "spec", "identity", "versions", "packages", "code", "hardware", "device", "threads",
    "accuracy", "dev", "best_epoch", "seconds", "date",
)  # fmt: skip
RUNS = Kind("", (*_MAKING, "training_identity", "trained_in", "auc"), ("accuracy", "auc"))
ADVERSARIES = Kind(
    "adversaries",
    (*_MAKING, "base", "base_accuracy", "accuracy_change", "jsd", "agreement"),
    ("accuracy", "jsd"),
)
JACOBIANS = Kind("jacobian", RUNS.origin, ())
EXAMINATIONS = Kind("examinations", (*_MAKING, "base", "auc"), ())
OPTIONAL = ("cpu_seconds",)  # not known of the first runs


def write_result(
    manifest: Mapping[str, Any], measured: pd.DataFrame, folder: Path, kind: Kind = RUNS
) -> list[Path]:
    """Write the two files of a result, ``KEY.parquet`` and ``KEY.json``, to its task's folder.

    Kept are the entries `Kind.origin` and `OPTIONAL` of its manifest, the task's name and
    fingerprint; and what was `measured`, one row a document, one column a quantity, as the columns
    quantity, document and value. What follows from other quantities, such as exp(H) from H / log n,
    is not stored.
    """
    stored = rounded(measured)
    again = _derived(stored)
    same = [
        name
        for name, values in again.items()
        if np.allclose(values, measured[name], rtol=1e-3, equal_nan=True)
    ]
    stored = stored.drop(columns=same)
    values = stored.to_numpy(dtype=np.float32).T
    quantities, documents = values.shape
    # One long column: with a column a quantity, their headers would take half of the file.
    names = pa.DictionaryArray.from_arrays(
        np.repeat(np.arange(quantities, dtype=np.int16), documents), list(stored.columns)
    )
    numbers = np.tile(np.arange(documents, dtype=np.int32), quantities)
    table = pa.table({"quantity": names, "document": numbers, "value": values.ravel()})
    buffer = BytesIO()
    # Bytes of like significance lie side by side, so that the rounded-off ones are all zero.
    pq.write_table(
        table, buffer, compression="zstd", compression_level=19, write_statistics=False,
        use_dictionary=["quantity"],
        column_encoding={"document": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
    )  # fmt: skip
    content = buffer.getvalue()
    record = {
        **{name: manifest.get(name) for name in (*kind.origin, *OPTIONAL)},
        "task": {name: manifest["task"][name] for name in ("name", "fingerprint")},
        "documents": documents,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    path = folder / kind.folder / f"{manifest['key']}.parquet"
    said = path.with_suffix(".json")
    # The record waits beside: where a kill comes between the two, it is the one that holds.
    waiting = _aside(said, _as_json(record))
    _replace(path, content)
    os.replace(waiting, said)
    return [path, said]


def read_records(
    folder: Path, tasks: Sequence[str] | None = None, kind: Kind = RUNS
) -> list[tuple[Path, dict[str, Any]]]:
    """Return the folders of the published results of a kind, and what is in ``KEY.json``."""
    files = [
        file
        for task in sorted(folder.glob("*"))
        if tasks is None or task.name in tasks
        for file in sorted((task / kind.folder).glob("*.json"))
        if file.name != TASK
    ]
    return [(file.parent, _record(file, folder, kind)) for file in files]


def _record(file: Path, folder: Path, kind: Kind) -> dict[str, Any]:
    """Return what is in a ``KEY.json``, or in the one that waits to take its place."""
    if not file.parent.resolve().is_relative_to(folder.resolve()):
        raise damaged(file, "its folder is a link that leads elsewhere")
    record = _waiting(file) or read_json(file, (*kind.origin, "task", "documents", "sha256"))
    if record["key"] != file.stem or not re.fullmatch(KEY, file.stem):
        raise damaged(file, "it is of another key")
    if not isinstance(record["documents"], int) or not 0 <= record["documents"] <= ROWS_MOST:
        raise damaged(file, "its number of documents is none")
    return record


def _waiting(file: Path) -> dict[str, Any] | None:
    """Return the record that a kill kept from taking its place, when its measurements did."""
    waiting = _beside(file)
    try:
        record = _entries(waiting) if waiting.is_file() else {}
        content = bounded(file.with_suffix(".parquet"), FILE_MOST) if record else b""
    except DamagedRunError:
        return None
    return record if record.get("sha256") == hashlib.sha256(content).hexdigest() else None


def finish_publishing(folder: Path, kind: Kind) -> None:
    """Finish what a kill of earlier publishing left half done, or clear it away."""
    for place in (task / kind.folder for task in folder.glob("*")):
        try:
            for left in place.glob(".*.partial"):
                file = left.with_name(left.name[1:].removesuffix(".partial"))
                if file.suffix == ".json" and _waiting(file):
                    os.replace(left, file)
                else:
                    left.unlink()
            for left in place.glob("*.parquet"):  # numbers whose record was removed already
                if re.fullmatch(KEY, left.stem) and not left.with_suffix(".json").is_file():
                    left.unlink()
        except OSError as error:
            raise _unwritable(place, error) from None


@contextmanager
def publishing_alone(folder: Path) -> Iterator[None]:
    """Have others who publish to a folder wait; a lock that ends with its process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_values(folder: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return a published result's measurements, as of `measures.per_document.measure`.

    A UserError when the file is missing or not as it was written.
    """
    path = folder / f"{record['key']}.parquet"
    try:
        content = bounded(path, FILE_MOST)
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise DamagedRunError("its checksum is another")
        names, values = _numbers(content, record["documents"])
    except (pa.ArrowException, OSError, DamagedRunError) as damage:
        raise damaged(path, str(damage)) from None
    index = pd.RangeIndex(record["documents"], name="document")
    frame = pd.DataFrame(values.T, columns=names, index=index)
    missing = {name: one for name, one in _derived(frame).items() if name not in frame}
    frame = pd.concat([frame, pd.DataFrame(missing, index=index)], axis=1)
    known = [name for name in known_quantities() if name in frame]
    return frame[[*known, *(name for name in frame if name not in known)]]


def _numbers(content: bytes, documents: int) -> tuple[list[str], np.ndarray]:
    """Return the quantities in a Parquet file and their values, (quantities, documents)."""
    file = pq.ParquetFile(BytesIO(content))
    told = file.metadata
    unpacked = sum(told.row_group(i).total_byte_size for i in range(told.num_row_groups))
    if told.num_rows > ROWS_MOST or unpacked > UNPACKED_MOST:
        raise DamagedRunError(
            f"it says that it holds {told.num_rows:,} numbers, {unpacked:,} bytes unpacked, more "
            "than are read"
        )
    columns = {field.name: field.type for field in file.schema_arrow}
    text = pa.dictionary(pa.int16(), pa.string()), pa.dictionary(pa.int32(), pa.string())
    if (
        list(columns) != ["quantity", "document", "value"]
        or columns["quantity"] not in text
        or columns["value"] != pa.float32()
    ):
        raise DamagedRunError("its columns are not those of measurements")
    table = file.read()
    names = table["quantity"].combine_chunks().dictionary.to_pylist()
    if len(names) * documents != len(table):
        raise DamagedRunError(f"it has not {documents:,} numbers of each quantity")
    return names, table["value"].to_numpy().astype(np.float64).reshape(len(names), documents)


@cache
def known_quantities() -> tuple[str, ...]:
    """Return the names of the measurements of a published task, in order."""
    nothing = np.zeros((0, 2), dtype=np.float32)  # no documents, so measured in no time
    traces = dict.fromkeys(("attention", *IMPORTANCES, *INFLUENCES), nothing)
    per_document = dict.fromkeys(("labels", "logit"), nothing[:, 0])
    return tuple(measure(traces | per_document, np.zeros(0, dtype=np.int64)))


def rounded(measured: pd.DataFrame) -> pd.DataFrame:
    """Return measurements to `SIGNIFICANT_BITS`."""
    mantissa, exponent = np.frexp(measured.to_numpy(dtype=np.float64))
    steps = np.round(mantissa * 2**SIGNIFICANT_BITS) / 2**SIGNIFICANT_BITS
    return pd.DataFrame(np.ldexp(steps, exponent), measured.index, measured.columns)


def _derived(stored: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what follows from other columns: H/log n → exp(H), and the like."""
    found: dict[str, pd.Series] = {}
    if {"label", "logit"} <= set(stored):
        found["correct"] = ((stored["logit"] > 0) == (stored["label"] > 0.5)).astype(np.float64)
    if "support" in stored:
        found["support_share"] = stored["support"] / stored["length"]
    log_length = np.log(stored["length"])
    if "attention_dispersion" in stored:
        found["attention_effective"] = np.exp(stored["attention_dispersion"] * log_length)
    for name in IMPORTANCES:
        if f"dispersion_{name}" in stored:
            found[f"effective_{name}"] = np.exp(stored[f"dispersion_{name}"] * log_length)
    return found


def write_json(path: Path, content: Mapping[str, Any], checksum: bool = True) -> Path:
    """Write JSON whose differences are readable: a line an entry, keys sorted.

    With a `checksum` of it among them, unless people may edit the file.
    """
    _replace(path, _as_json(content, checksum))
    return path


def _as_json(content: Mapping[str, Any], checksum: bool = True) -> bytes:
    whole = {**content, CHECKSUM: _checksum(content)} if checksum else content
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _entries(path: Path) -> dict[str, Any]:
    """Return a JSON file's entries; `DamagedRunError` unless they have the checksum among them."""
    content = parsed(bounded(path, TEXT_MOST))
    told = content.pop(CHECKSUM, None)
    if told not in (None, _checksum(content)):
        raise DamagedRunError("its checksum is another")
    return content


def read_json(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """Return a JSON file's content; a UserError when it cannot be, or lacks an entry `needed`."""
    try:
        content = _entries(path)
    except DamagedRunError as damage:
        raise damaged(path, str(damage)) from None
    if not set(needed) <= set(content):
        raise damaged(path, "entries are missing")
    return content


def _replace(path: Path, content: bytes) -> None:
    os.replace(_aside(path, content), path)


def _aside(path: Path, content: bytes) -> Path:
    """Write what is to become a file beside it, never through a link that lies there."""
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:
            file.write(content)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    return partial


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write the published file '{path}': {error.strerror or error}.")


def damaged(path: Path, why: str) -> UserError:
    """Return the error that says what is wrong with a published file, and what to do."""
    return UserError(
        f"The published file '{path}' cannot be read ({why}). Restore it with "
        f"'git checkout -- {path}'."
    )
