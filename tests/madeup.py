"""Data sets with made-up texts, in the forms of the real ones."""

import dataclasses
import gzip
import json
from pathlib import Path

from sparseattn.data import corpora


def code(number):
    """A made-up word for a number."""
    return "w" + chr(97 + number // 26) + chr(97 + number % 26)


def write(path: Path, records) -> str:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def unreachable(*args, **kwargs):
    raise OSError("no network")


def small_corpora(tmp_path, monkeypatch):
    """Write data sets of the folder's and the hub's form, and have them read; return the folder."""

    def text(i):
        words = [*(code(7 * (i + k) % 60) for k in range(7 + i % 5)), code(i)]
        return " ".join(words) + (" odd" if i % 2 else " even")

    def texts(start, count):
        return [
            {"text": text(i), "label": i % 2, "id": str(i)} for i in range(start, start + count)
        ]

    folder = tmp_path / "data"
    sizes = {"sst": (40, 12, 12), "newsgroups_sports": (60, 40), "imdb": (120, 60)}
    for name, counts in sizes.items():
        (folder / name).mkdir(parents=True)
        splits = ("train", "dev", "test") if len(counts) == 3 else ("train", "test")
        for n, (split, count) in enumerate(zip(splits, counts, strict=True)):
            records = texts((counts[0] - 4) * n, count)  # some texts of train recur
            write(folder / name / f"{split}.jsonl.gz", records)
            # The hub's form: plain JSON Lines in a directory, other names and more classes.
            hub = tmp_path / "hub" / name
            hub.mkdir(parents=True, exist_ok=True)
            if name == "newsgroups_sports":
                groups = ("rec.sport.baseball", "rec.sport.hockey")
                records = [
                    {"text": r["text"], "label": 9 + r["label"], "label_text": groups[r["label"]]}
                    for r in records
                ] + [{"text": "space", "label": 14, "label_text": "sci.space"}]
            theirs = "validation" if split == "dev" else split
            write(hub / f"{theirs}.jsonl", records)
    for name, source in corpora.SOURCES.items():
        counts = sizes["newsgroups_sports" if name == "newsgroups" else name]
        half = {
            split: (count // 2, count // 2)
            for split, count in zip(source.hub_splits, counts, strict=True)
        }
        hub = str(tmp_path / "hub" / ("newsgroups_sports" if name == "newsgroups" else name))
        changed = dataclasses.replace(source, sizes=half, hub=hub, revision=source.revision)
        monkeypatch.setitem(corpora.SOURCES, name, changed)
    monkeypatch.setenv("SPARSEATTN_DATA", str(folder))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    return folder
