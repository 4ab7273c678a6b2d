"""What a referee asks of the whole: this build, what is behind the numbers, how to cite it.

The checklist itself is ACL 2021's; page 12 answers it, with the numbers of `in_numbers`.

References
----------
https://2021.aclweb.org/calls/reproducibility-checklist; for its history, Dodge et al. (2019),
Show Your Work: Improved Reporting of Experimental Results (EMNLP). Druskat et al. (2021), Citation
File Format 1.2.0, doi 10.5281/zenodo.5171937.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from sparseattn import paths
from sparseattn.data.corpora import SOURCES
from sparseattn.errors import validate
from sparseattn.experiments import machine
from sparseattn.experiments.specs import Spec
from sparseattn.models.classifier import parameter_counts
from sparseattn.models.pretrained import LAYER, PRETRAINED, SIZE
from sparseattn.results import published, variants
from sparseattn.verdicts import replication
from sparseattn.wording import label


def by_kind(ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the published runs, adversaries and examinations of `report.ledger.everything`."""
    recorded = ledger[ledger["origin"] == "published"]
    kinds = recorded["kind"]
    diverged = recorded[recorded["adversary"].notna()]
    return recorded[kinds == "run"], diverged, recorded[kinds == "examined"]


def executed(pages: pd.DataFrame) -> pd.DataFrame:
    """Return what a build executed (`report.ledger.pages`), as a table shows it.

    ``notebook``, ``seconds``, ``when``, number of ``runs``, and the parameters ``changed``.
    """
    return pages.assign(
        runs=pages["runs"].map(len),
        changed=[json.dumps(values) if values else None for values in pages["parameters"]],
        when=pages["date"].str[:16].str.replace("T", " "),
        what="execution",
    )


def this_build() -> pd.DataFrame:
    """Return the machine and the code at hand: ``of`` what, ``is`` what."""
    hardware, code = machine.hardware(), machine.code()
    facts = {
        "Processor": hardware["processor"],
        "Cores": str(hardware["cores"]),
        "Memory": f"{hardware['memory_gb']} GB",
        "GPU": hardware["gpu"] or "not there",
        "System": hardware["system"],
        "Python": machine.packages()["python"],
        "Commit": code["commit"] or "not a repository",
        "Code": f"{str(code['fingerprint'])[:16]} (fingerprint of the package's modules)",
    }
    return pd.DataFrame({"of": facts.keys(), "is": facts.values()})


def summary(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return a ledger in summary: one row an ``origin`` and ``task``.

    How many ``cells``, ``runs``, ``adversaries``, ``examinations`` and ``seeds``, the ``hours`` of
    computing, how many ``outdated``.
    """
    named = ledger.assign(
        cell=ledger["classifier"] + ledger["sparsity"],
        run=ledger["kind"] == "run",
        examined=ledger["kind"] == "examined",
        hours=ledger["seconds"] / 3600,
        outdated=ledger["state"] == "outdated",
    )
    grouped = named.groupby(["origin", "task"], sort=False, as_index=False)
    return grouped.agg(
        cells=("cell", "nunique"),
        runs=("run", "sum"),
        adversaries=("adversary", "count"),
        examinations=("examined", "sum"),
        seeds=("seed", "nunique"),
        hours=("hours", "sum"),
        outdated=("outdated", "sum"),
    )


def sizes(recorded: pd.DataFrame) -> pd.DataFrame:
    """Return how many numbers each published classifier learns, and how long a run takes.

    One row a ``task`` and ``classifier``: ``words`` of the vocabulary, numbers learned in the
    ``embedding`` and in the ``rest``, number of ``runs``, and their mean ``seconds``, and of the
    processor ``cpu``.
    """
    keys = ["task", "classifier", "encoder", "alignment"]
    models = recorded.groupby(keys, sort=False, as_index=False).agg(
        seconds=("seconds", "mean"), cpu=("cpu_seconds", "mean"), runs=("key", "size")
    )
    pairs = zip(models["encoder"], models["alignment"], strict=True)
    counts = [_learned(encoder, alignment) for encoder, alignment in pairs]
    vocabulary = {name: task.get("vocabulary") for name, task in published.tasks().items()}
    words = models["task"].map(vocabulary).astype("float64")
    return models.assign(
        words=words,
        embedding=words * [count["embedding"] for count in counts],
        rest=[sum(count.values()) - count["embedding"] for count in counts],
    )


def _learned(encoder: str, alignment: str) -> dict[str, int]:
    """Return what `parameter_counts` does of one word; of a pretrained encoder without its files.

    The embedding has a row for each word.
    """
    if encoder not in PRETRAINED:
        return parameter_counts(validate(Spec, {"encoder": encoder, "alignment": alignment}), 1)
    states = {"encoder": "none", "alignment": alignment, "embedding_size": SIZE}
    above = parameter_counts(validate(Spec, states), 1)
    return above | {"embedding": 0, "encoder": PRETRAINED[encoder] * LAYER}


def dev_beside_test(recorded: pd.DataFrame) -> pd.DataFrame:
    """Return validation beside test performance, means over seeds, one row a cell."""
    cells = recorded.groupby(["task", "classifier", "sparsity"], sort=False, as_index=False)
    return cells.agg(
        dev=("dev_accuracy", "mean"),
        test=("accuracy", "mean"),
        dev_auc=("dev_auc", "mean"),
        auc=("auc", "mean"),
        runs=("key", "size"),
    )


def splits(tasks: Sequence[str]) -> pd.DataFrame:
    """Return the splits of published tasks as classifiers see them, one row each."""
    columns = ["task", "split", "documents", "positive_share", "tokens_mean", "tokens_max"]
    rows = [
        {"task": name, **split}
        for name, task in published.tasks().items()
        if name in tasks
        for split in task["splits"]
    ]
    return pd.DataFrame(rows, columns=[*columns, "unknown_share"])


def in_numbers(
    recorded: pd.DataFrame, diverged: pd.DataFrame, examined: pd.DataFrame, packages: pd.DataFrame
) -> pd.DataFrame:
    """Return the numbers that answers to the checklist need, and no table gives alone.

    Given the three of `by_kind`, and `report.provenance.requirements`: ``of`` what, ``is`` what.
    """
    default, tried, models = Spec(), variants.summaries(), sizes(recorded)
    more = len(set(tried["key"]) - set(recorded["key"]))
    rates = sorted({*recorded["learning_rate"], *tried["learning_rate"]})
    epochs = recorded.groupby("task", sort=False)["epochs"].max()
    hours = [frame["seconds"].sum() / 3600 for frame in (recorded, diverged, examined)]
    unpublished = set(examined["rests_on"]) - set(recorded["key"])
    facts = {
        "Packages, and those pinned to one version": f"{len(packages)}, "
        f"{packages['pinned'].notna().sum()}",
        "Processors of the published runs": _each(recorded["gpu"].fillna(recorded["processor"])),
        "Published runs, trained and evaluated once each": f"{len(recorded):,}",
        "Adversaries of such runs": f"{len(diverged):,}",
        "Examinations": f"{len(examined):,}",
        "Runs more, of which the examination alone is published": f"{len(unpublished):,}",
        "Runs more, with other settings": f"{more:,}",
        "Seconds a run, by classifier and task": _ends(models["seconds"]),
        "Hours of the published runs, adversaries, examinations": ", ".join(
            f"{spent:,.1f}" for spent in hours
        ),
        "Numbers learned besides the embedding": _ends(models["rest"]),
        f"Numbers learned in the embedding, {default.embedding_size} a word": _ends(
            models["embedding"][models["embedding"] > 0]
        ),
        "Learning rates": ", ".join(f"{rate:g}" for rate in rates) or "none",
        "Initial vectors": _each([*recorded["vectors"], *tried["vectors"]]),
        "Epochs at most": ", ".join(f"{label(task)} {count:.0f}" for task, count in epochs.items())
        or "none",
        "Batch size, weight decay, hidden size, patience": f"{default.batch_size}, "
        f"{default.weight_decay:g}, {default.hidden_size}, {default.patience}",
    }
    return pd.DataFrame({"of": facts.keys(), "is": facts.values()})


def _each(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or "none"


def _ends(values: pd.Series) -> str:
    """Name the least and the greatest of some numbers, once where they read alike."""
    ends = sorted({round(values.min()), round(values.max())}) if len(values) else []
    return " to ".join(f"{end:,}" for end in ends) or "none"


def trusted() -> pd.DataFrame:
    """Return what the slow suite tried (``make trust``): what, how often, how often it was lost."""
    found = sorted((paths.book() / "trust").glob("*.json"))
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in found]
    return pd.DataFrame(rows, columns=["what", "tried", "lost", "command"])


def where_the_data_are() -> str:
    """Return links to the data sets, as Markdown."""
    return ", ".join(
        f"[{label(name)}](https://huggingface.co/datasets/{source.hub})"
        for name, source in SOURCES.items()
    )


def verdict(recorded: pd.DataFrame, packages: pd.DataFrame) -> str:
    """Say how much of what is published would come out again, given `by_kind` and the packages."""
    figures = replication.replicate()
    alike = int((packages["pinned"] == packages["here"]).sum())
    current = int((recorded["state"] == "current").sum())
    return (
        f"{alike} of {len(packages)} packages are those asked for. {current} of {len(recorded)} "
        "published runs were made by the stages as they are now: made again, they have the same "
        "key and the same numbers, on any processor with AVX2. Of the paper's "
        f"{len(figures)} numbers, {len(figures) - len(replication.missing(figures))} have a value "
        f"here, and {figures['low'].notna().sum()} an interval."
    )


def fingerprints() -> pd.DataFrame:
    """Return what was trained on which processor, by which arithmetic, as fingerprints.

    Of the networks ``bilstm`` and ``transformer``, with the ``seconds`` of each, and of a ``svd``.
    """
    frame = pd.read_csv(paths.book() / "arithmetic" / "fingerprints.csv")
    pairs = zip(frame["bilstm_seconds"], frame["transformer_seconds"], strict=True)
    return frame.assign(seconds=["–" if one != one else f"{one:g}, {two:g}" for one, two in pairs])


def on_two_processors() -> pd.DataFrame:
    """Return the published runs made on two makes of processor: fingerprints, and if they agree.

    ``key``, ``run`` in words where it is published, the ``processors``, the first digits of the
    SHA-256 of its ``weights`` and ``traces``, and whether the processors ``agree`` on both.
    """
    frame = pd.read_csv(paths.book() / "arithmetic" / "runs.csv")
    named = {run.key: published.in_words(run) for run in published.runs(["sst"])}
    prints = ["weights", "traces"]
    found = frame.groupby("key", sort=False).agg(
        processors=("processor", " and ".join), **{name: (name, "first") for name in prints}
    )
    differing = frame.drop_duplicates(["key", *prints]).groupby("key", sort=False).size()
    found["agree"] = ["same bits" if many == 1 else "other bits" for many in differing]
    return found.reset_index().assign(run=found.index.map(named))


def cost_of_portability() -> pd.DataFrame:
    """Return the times of the portable arithmetic over those of the libraries' own choice."""
    frame = pd.read_csv(paths.book() / "arithmetic" / "cost.csv")
    return frame.assign(encoder=frame["encoder"].map(label))


def cited() -> str:
    """Return how to cite the report, and the works it rests on, by ``CITATION.cff``: Markdown."""
    citation = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    names, year = _names(citation), citation["date-released"].year
    title, version = citation["title"], citation["version"]
    fields = {
        "author": " and ".join(f"{{{name}}}" for name in names),
        "title": title,
        "year": str(year),
        "version": version,
        "license": citation["license"],
    }
    entry = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    works = "\n".join(
        f"- {', '.join(_names(work))} ({work['year']}). {work['title']} "
        f"<https://doi.org/{work['doi']}>"
        for work in citation["references"]
    )
    return (
        f"{citation['message']}\n\n> {', '.join(names)} ({year}). {title}, version {version}.\n\n"
        f"```\n@software{{sparseattn,\n{entry}}}\n```\n\n{works}"
    )


def _names(work: Mapping[str, Any]) -> list[str]:
    """Return the names of a work's authors: of an entity, or of a person, given names first."""
    return [
        author.get("name") or f"{author['given-names']} {author['family-names']}"
        for author in work["authors"]
    ]
