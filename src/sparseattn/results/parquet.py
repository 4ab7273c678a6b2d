"""The files of published measurements: written compactly, and read back only as written."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
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
from sparseattn.measures.per_document import IMPORTANCES, INFLUENCES, measure

SIGNIFICANT_BITS = 14
"""Of a published value: its relative error is at most 2⁻¹⁴ ≈ 0.00006, which makes files small."""
TASK = "task.json"


@dataclass(frozen=True)
class Kind:
    """Results whose measurements are published alike, two files each.

    Attributes
    ----------
    folder
        Where they lie in the task's.
    origin
        Which entries of a manifest are published.
    scores
        Those of them that are on whole splits, compared when a result is made again.
    """

    folder: str
    origin: tuple[str, ...]
    scores: tuple[str, ...]


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

    Parameters
    ----------
    manifest
        Of which the entries `Kind.origin` and `OPTIONAL`, and the task's name and fingerprint, are
        kept.
    measured
        One row a document, one column a quantity; written as the columns quantity, document and
        value. What follows from other quantities, such as exp(H) from H / log n, is not stored.
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
    _replace(path, content)
    return [path, write_json(path.with_suffix(".json"), record)]


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
    needed = (*kind.origin, "task", "documents", "sha256")
    return [(file.parent, read_json(file, needed)) for file in files]


def read_values(folder: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return a published result's measurements, as of `measures.per_document.measure`.

    Raises
    ------
    UserError
        When the file is missing or not as it was written.
    """
    path = folder / f"{record['key']}.parquet"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise _damaged(path, "its checksum is another")
    table = pq.read_table(BytesIO(content))
    names = table["quantity"].combine_chunks().dictionary.to_pylist()
    values = table["value"].to_numpy().astype(np.float64).reshape(len(names), record["documents"])
    index = pd.RangeIndex(record["documents"], name="document")
    frame = pd.DataFrame(values.T, columns=names, index=index)
    missing = {name: one for name, one in _derived(frame).items() if name not in frame}
    frame = pd.concat([frame, pd.DataFrame(missing, index=index)], axis=1)
    known = [name for name in known_quantities() if name in frame]
    return frame[[*known, *(name for name in frame if name not in known)]]


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


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON whose differences are readable: a line an entry, keys sorted."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    _replace(path, f"{text}\n".encode())
    return path


def read_json(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """Return a JSON file's content.

    Raises
    ------
    UserError
        When it cannot be read, or an entry that is `needed` is missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except ValueError:
        raise _damaged(path, "it is not JSON") from None
    if not isinstance(content, dict) or not set(needed) <= set(content):
        raise _damaged(path, "entries are missing")
    return content


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            f"Cannot write the published file '{path}': {error.strerror or error}."
        ) from None


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"The published file '{path}' cannot be read ({why}). Restore it with "
        f"'git checkout -- {path}'."
    )
