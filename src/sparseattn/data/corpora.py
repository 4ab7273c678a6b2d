"""The paper's data sets, as they lie in a local folder or on the Hugging Face hub.

The hub is read through ``datasets``; this module turns what can go wrong into advice.
"""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sparseattn.data.files import read_columns
from sparseattn.errors import UserError

FOLDER_VARIABLE = "SPARSEATTN_DATA"

Rows = list[tuple[str, int]]  # text and label (0 or 1)


@dataclass(frozen=True)
class Source:
    """Where a corpus lies: its files in the local folder, and its place on the hub.

    ``files``: split → file in the folder; ``prepared`` is preferred to them where present (its
    column ``exp_split`` names the split, and its texts need no more preparation). ``hub``: the data
    set there; ``revision``: its commit, None where only the sizes guard against a change;
    ``hub_splits``: split → the hub's name of it. ``groups``, of data sets with more classes:
    (column, class of label 0, class of label 1). ``sizes``: split → the number of texts with label
    0 and 1.
    """

    files: Mapping[str, str]
    hub: str
    revision: str | None
    hub_splits: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    prepared: str | None = None
    groups: tuple[str, str, str] | None = None


SOURCES: Mapping[str, Source] = {
    "sst": Source(
        files={split: f"sst/{split}.jsonl.gz" for split in ("train", "dev", "test")},
        prepared="sst/raw/jw_sst_dataset.csv.gz",
        hub="SetFit/sst2",
        revision=None,  # the commit seen is known by its first seven digits only: 00ea8cc
        hub_splits={"train": "train", "dev": "validation", "test": "test"},
        sizes={"train": (3310, 3610), "dev": (428, 444), "test": (912, 909)},
    ),
    "newsgroups": Source(
        files={split: f"newsgroups_sports/{split}.jsonl.gz" for split in ("train", "test")},
        hub="SetFit/20_newsgroups",
        revision="f1b91292074e7cfb69be58b642d583ec262f30ed",
        hub_splits={"train": "train", "test": "test"},
        groups=("label_text", "rec.sport.baseball", "rec.sport.hockey"),
        sizes={"train": (597, 600), "test": (397, 399)},
    ),
    "imdb": Source(
        files={split: f"imdb/{split}.jsonl.gz" for split in ("train", "test")},
        hub="stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
        hub_splits={"train": "train", "test": "test"},
        sizes={"train": (12500, 12500), "test": (12500, 12500)},
    ),
}


@dataclass(frozen=True)
class Corpus:
    """The texts of each split, whether Jain and Wallace prepared them, and what to know of them."""

    rows: Mapping[str, Rows]
    prepared: bool = False
    notes: tuple[str, ...] = ()


@cache
def training_texts(name: str) -> str:
    """Return the SHA-256 of a corpus' training texts, in their order."""
    digest = hashlib.sha256()
    for text, _ in read_corpus(name).rows["train"]:
        digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def read_corpus(name: str) -> Corpus:
    """Read one of the paper's data sets, from the local folder if one is named, else from the hub.

    A UserError says how to get the data where they are not to be had.
    """
    source, folder = SOURCES[name], find_folder(name)
    notes: tuple[str, ...] = ()
    if folder is None:
        rows = read_hub(name, source)
        if source.revision is None:
            notes = (
                f"The texts are those '{source.hub}' had on the hub when they were fetched: its "
                "revision is not pinned, only its sizes are checked.",
            )
    elif source.prepared and (folder / source.prepared).exists():
        return Corpus(_read_prepared(folder / source.prepared), prepared=True)
    else:
        files = {split: folder / file for split, file in source.files.items()}
        rows = {
            split: list(zip(*read_columns(path, ("text", "label")), strict=True))
            for split, path in files.items()
        }
    _check_sizes(name, source, rows)
    return Corpus(rows, notes=notes)


def read_file(name: str, columns: Sequence[str]) -> list[list[Any]]:
    """Read columns of a further file of the local folder: people's judgements are nowhere else.

    A UserError when no folder is named, or when it lacks the file.
    """
    value = os.environ.get(FOLDER_VARIABLE)
    path = Path(value or "").expanduser() / name
    if not value or not path.is_file():
        found = f"{FOLDER_VARIABLE} is '{value}', which lacks it" if value else "none is named"
        raise UserError(
            f"{name} is read from the local folder of real data only, and {found}. Set "
            f"{FOLDER_VARIABLE} to a folder that has it."
        )
    return read_columns(path, columns)


def find_folder(name: str) -> Path | None:
    """Return the local folder of real data in ``SPARSEATTN_DATA``, or None when none is named.

    A UserError when it is no folder, or lacks the files of the data set that will be read.
    """
    value, source = os.environ.get(FOLDER_VARIABLE), SOURCES[name]
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{FOLDER_VARIABLE} is '{value}', which is not a folder. {_advice(name, source)}"
        )
    if source.prepared and (folder / source.prepared).exists():
        return folder
    missing = [file for file in source.files.values() if not (folder / file).exists()]
    if missing:
        raise UserError(
            f"{FOLDER_VARIABLE} is '{value}', which lacks {', '.join(missing)}. "
            f"{_advice(name, source)}"
        )
    return folder


def read_hub(name: str, source: Source) -> dict[str, Rows]:
    """Download a data set from the hub (once; later calls find it in the hub's own cache).

    `name` is for messages; ``source.hub`` may also be a local directory of the same form. A
    UserError when the hub cannot be reached and the data set is not in the cache either.
    """
    import datasets
    import huggingface_hub.constants as hub

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    was = hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not _reachable(hub.ENDPOINT):  # look only in the cache: it is retried for 25 s otherwise
        hub.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    result: dict[str, Rows] = {}
    try:
        for split, theirs in source.hub_splits.items():
            data = datasets.load_dataset(source.hub, revision=source.revision, split=theirs)
            if source.groups:
                column, zero, one = source.groups
                labels = [{zero: 0, one: 1}.get(group) for group in data[column]]
            else:
                labels = list(data["label"])
            pairs = zip(data["text"], labels, strict=True)
            result[split] = [(text, label) for text, label in pairs if label is not None]
    except (OSError, ValueError) as error:  # no connection; nothing of that name in the cache
        raise UserError(
            f"The data of task '{name}' could not be had from the Hugging Face hub "
            f"({type(error).__name__}). {_advice(name, source)}"
        ) from error
    finally:
        hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = was
    return result


def _read_prepared(path: Path) -> dict[str, Rows]:
    rows: dict[str, Rows] = {"train": [], "dev": [], "test": []}
    columns = read_columns(path, ("text", "label", "exp_split"))
    for text, label, split in zip(*columns, strict=True):
        rows[split].append((text, int(label)))
    return rows


def _check_sizes(name: str, source: Source, rows: Mapping[str, Rows]) -> None:
    sizes = {
        split: tuple(sum(label == c for _, label in texts) for c in (0, 1))
        for split, texts in rows.items()
    }
    if sizes != dict(source.sizes):
        raise UserError(
            f"The data of task '{name}' are not those this project knows: texts with label 0 and "
            f"1 are {sizes}, not {dict(source.sizes)}. {_advice(name, source)}"
        )


def _advice(name: str, source: Source) -> str:
    return (
        f"Set {FOLDER_VARIABLE} to a folder with {', '.join(source.files.values())} "
        "(gzipped JSON Lines with text and label), or go online once to fetch "
        f"'{source.hub}' from the hub. The task 'planted' needs no data."
    )


def _reachable(address: str, patience: float = 5.0) -> bool:
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=patience).close()
    except urllib.error.HTTPError:
        pass  # an answer, if not a friendly one
    except OSError:
        return False
    return True
