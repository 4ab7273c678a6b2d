"""Publishing: measurements and origins of runs added to ``book/results``, and made again."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from sparseattn import paths
from sparseattn.data.corpora import SOURCES
from sparseattn.data.preparation import digest
from sparseattn.data.tasks import NAMES, load_task
from sparseattn.errors import UserError, nearest, validate
from sparseattn.experiments.adversaries import Adversaries, Adversary, AdversarySpec
from sparseattn.experiments.runs import Run, Spec, Store
from sparseattn.files import read_manifest
from sparseattn.results.parquet import ADVERSARIES, ADVERSARY_ORIGIN, TASK, write_json, write_run
from sparseattn.results.published import (
    TOLERANCE,
    adversary_place,
    adversary_runs,
    compare,
    compare_adversaries,
    in_words,
    place,
    runs,
    tasks,
)

log = logging.getLogger("sparseattn")


def publishable(store: Store, tasks: Sequence[str] = (), keys: Sequence[str] = ()) -> list[Run]:
    """Return the runs of a store that can be published.

    Parameters
    ----------
    store
        Where the runs are.
    tasks
        Names of the paper's tasks; all of them by default.
    keys
        The runs wanted, by their keys or the first digits of them; all by default.

    Returns
    -------
    list of Run
        Made by the stages as they are now, oldest first. Runs of the planted task, which the book
        computes itself, only where ``tasks`` or ``keys`` name it.

    Raises
    ------
    UserError
        For an unknown task, a key that no such run has, or when there is none at all.
    """
    _check_names(tasks)
    known = store.ledger().query("state == 'current'")
    known = known[known["task"].isin(tasks or (NAMES if keys else SOURCES))]
    for key in keys:
        if not known["key"].str.startswith(key).any():
            raise UserError(f"No current run in {store.root} has a key that begins with '{key}'.")
    found = []
    for key in known["key"]:
        if not keys or key.startswith(tuple(keys)):
            path = store.root / "runs" / key
            manifest = read_manifest(path)
            found.append(Run(validate(Spec, manifest["spec"]), key, path, manifest))
    if not found:
        raise UserError(
            f"No current runs of {', '.join(tasks or SOURCES)} in {store.root}: compute them with "
            "'sparseattn sweep' first."
        )
    return found


def publish(given: Iterable[Run], folder: Path | None = None) -> list[Path]:
    """Write the measurements of runs and their origin; add to what is published already.

    Parameters
    ----------
    given
        Runs of the built-in tasks.
    folder
        ``book/results`` by default.

    Returns
    -------
    list of Path
        The files written. A run that is published already, with the same numbers, is left as it
        is, so publishing twice changes nothing.

    Raises
    ------
    UserError
        Before anything is written: when a run differs from its published self by more than
        `TOLERANCE`; when a run with other settings holds the same place (task, encoder,
        alignment, projection, λ, α, seed); when a task's data differ from those of its published
        runs; or when a run was made from the user's own files, which others do not have.

    Notes
    -----
    A published run of the same settings made by earlier versions of the stages is replaced.
    """
    folder = paths.results() if folder is None else folder
    new = list({run.key: run for run in given}.values())
    for run in new:
        _check_origin(run, run.spec)
    before = {run.key: run for run in runs(folder=folder)}
    replaced = _replaced(new, before, lambda run: place(run.spec))
    differing = compare(new, folder).query("not agrees")
    if len(differing):
        raise UserError(_differing(differing))

    written = [write_json(path, task) for path, task in _described(new, folder).items()]
    for run in new:
        measured, here = run.measurements(), folder / run.manifest["task"]["name"]
        if run.key in before and set(measured) <= set(before[run.key].measurements()):
            continue
        written += write_run(run.manifest, measured, here)
        _remove(replaced.get(run.key), run.key, here)
    return written


def publishable_adversaries(store: Store, tasks: Sequence[str] = ()) -> list[Adversary]:
    """Return the current adversaries of a store on the paper's tasks, or on those named.

    Raises
    ------
    UserError
        For an unknown task, or when there is none at all.
    """
    _check_names(tasks)
    kept = Adversaries(store.root)
    known = kept.ledger().query("state == 'current'")
    keys = set(known.loc[known["task"].isin(tasks or SOURCES), "key"])
    found = [kept.open(path) for path in kept.stored() if path.name in keys]
    if not found:
        raise UserError(
            f"No current adversaries of {', '.join(tasks or SOURCES)} in {store.root}: compute "
            "them with 'sparseattn adversary' first."
        )
    return found


def publish_adversaries(given: Iterable[Adversary], folder: Path | None = None) -> list[Path]:
    """Write the measurements of adversaries and their origin; otherwise as `publish`.

    Raises
    ------
    UserError
        Before anything is written, as `publish` does; and when no run of the task is published
        yet, or other data are.
    """
    folder = paths.results() if folder is None else folder
    new = list({one.key: one for one in given}.values())
    known = tasks(folder)
    for one in new:
        _check_origin(one, one.spec.base)
        name, fingerprint = one.manifest["task"]["name"], one.manifest["task"]["fingerprint"]
        if known.get(name, {}).get("fingerprint") != fingerprint:
            raise UserError(
                f"Adversary {one.key} ({in_words(one)}): no runs made from the same data are "
                "published. Publish its base run first."
            )
    before = {one.key: one for one in adversary_runs(folder=folder)}
    replaced = _replaced(new, before, adversary_place)
    differing = compare_adversaries(new, folder).query("not agrees")
    if len(differing):
        raise UserError(_differing(differing))
    written: list[Path] = []
    for one in new:
        here = folder / one.manifest["task"]["name"] / ADVERSARIES
        if one.key in before:
            continue
        written += write_run(one.manifest, one.measurements(), here, ADVERSARY_ORIGIN)
        _remove(replaced.get(one.key), one.key, here)
    return written


def recompute(key: str, store: Path, folder: Path | None = None) -> pd.DataFrame:
    """Train and observe a published run anew, and compare.

    Parameters
    ----------
    key
        The run's key, or the first digits of it.
    store
        Folder of the store for the new run, which must not hold it yet.
    folder
        ``book/results`` by default.

    Returns
    -------
    DataFrame
        See `compare`.

    Raises
    ------
    UserError
        When no single published run has that key, or the data or the stages are others now.
    """
    found = [run for run in runs(folder=folder) if key and run.key.startswith(key)]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} published runs have a key that begins with '{key}'; expected one. "
            "The book's ledger lists them."
        )
    spec = found[0].spec
    task = load_task(spec.task, spec.task_options)
    if spec.key(task.fingerprint) != found[0].key:
        raise UserError(
            f"Run {found[0].key} can no longer be made: with the data and the stages of today, the "
            f"same settings are run {spec.key(task.fingerprint)}. Check out the commit it was made "
            f"with, {found[0].manifest['code']['commit']}."
        )
    return compare([Store(store).compute(spec, task)], folder)


def _check_names(tasks: Sequence[str]) -> None:
    for name in tasks:
        if name not in NAMES:
            raise UserError(
                f"Task '{name}' is not one that can be published.{nearest(name, NAMES)} "
                f"Known: {', '.join(NAMES)}."
            )


def _check_origin(kept: Run | Adversary, base: Spec) -> None:
    if base.task not in NAMES or base.vectors not in ("random", "task", "imdb"):
        raise UserError(
            f"Run {kept.key} ({in_words(kept)}) rests on a file of yours, which others do not "
            f"have. Runs of {', '.join(NAMES)} can be published."
        )


def _remove(old: str | None, new: str, folder: Path) -> None:
    if old is not None:
        log.warning("Published run %s was replaced by %s, of other versions.", old, new)
        for ending in ("json", "parquet"):
            (folder / f"{old}.{ending}").unlink()


PublishedT = TypeVar("PublishedT", Run, Adversary)


def _replaced(
    new: Sequence[PublishedT],
    before: Mapping[str, PublishedT],
    place_of: Callable[[PublishedT], tuple[object, ...]],
) -> dict[str, str]:
    """Return the key of the published run that each new one replaces."""
    held = {place_of(run): run for run in before.values()}
    replaced: dict[str, str] = {}
    for run in new:
        other = held.setdefault(place_of(run), run)
        if other.key == run.key:
            continue
        theirs = _settings(other.spec)
        differ = [
            f"{name} ({theirs[name]} and {value})"
            for name, value in _settings(run.spec).items()
            if theirs[name] != value
        ]
        if differ or other.key not in before:
            raise UserError(
                f"Runs {other.key} and {run.key} are both of {in_words(run)}; they differ in "
                f"{', '.join(differ) or 'the data or the versions'}. Only one can be shown: name "
                "the runs to publish by their keys, or remove the other's file from book/results."
            )
        replaced[run.key] = other.key
        held[place_of(run)] = run
    return replaced


def _settings(spec: Spec | AdversarySpec) -> dict[str, object]:
    """Return what numbers may depend on, under names of their own."""
    if isinstance(spec, Spec):
        return spec.model_dump(exclude={"device"})
    own = spec.model_dump(exclude={"base"}).items()
    return {**_settings(spec.base), **{f"adversary's {name}": value for name, value in own}}


def _described(new: Sequence[Run], folder: Path) -> dict[Path, dict[str, Any]]:
    """Return the task files to write: those that are missing, or know too few documents."""
    known, found = tasks(folder), {}
    for run in new:
        name, fingerprint = run.manifest["task"]["name"], run.manifest["task"]["fingerprint"]
        count = len(run.measurements())
        task = known.get(name)
        # A file written before there was a vocabulary's size in it is completed.
        poor = task is not None and (len(task["documents"]) < count or "vocabulary" not in task)
        if task is None or (task["fingerprint"] == fingerprint and poor):
            count = max(count, len(task["documents"]) if task else 0)
            loaded = load_task(run.spec.task, run.spec.task_options)
            documents = loaded.test.sample(count)
            task = {
                "name": name,
                "fingerprint": loaded.fingerprint,
                "vocabulary": len(loaded.vocabulary),
                "splits": loaded.summary(),
                "deviations": list(loaded.deviations),
                # The last digits, for by the first ones the documents were chosen.
                "documents": [digest(key)[-8:] for key in documents.keys],
            }
            known[name] = found[folder / name / TASK] = task
        if task["fingerprint"] != fingerprint:
            raise UserError(
                f"Run {run.key} was made from other data than the published runs of '{name}', or "
                f"than the data at hand (fingerprints {fingerprint[:8]}, {task['fingerprint'][:8]})"
                f". Publish runs of one state of the data; to start anew, remove {folder / name}."
            )
    return found


def _differing(rows: pd.DataFrame) -> str:
    lines = []
    for key, part in rows.groupby("key", sort=False):
        worst = part.sort_values("difference", ascending=False).head(5)
        shown = ", ".join(
            f"{row['quantity']} by {row['difference']:.1%} ({row['published']:.4g} and "
            f"{row['here']:.4g} in the mean)"
            for row in worst.to_dict("records")
        )
        more = f", and {len(part) - len(worst)} more" if len(part) > len(worst) else ""
        lines.append(f"Run {key} is published with other numbers: {shown}{more}.")
    lines.append(
        f"The same run may differ by {TOLERANCE:.0%} from machine to machine. If the new numbers "
        "are right, remove the .json files of these runs from book/results and publish again."
    )
    return "\n".join(lines)
