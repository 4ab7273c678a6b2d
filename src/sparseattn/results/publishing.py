"""Publishing: measurements and origins added to ``book/results``, and made again.

Whatever is published is checked against what lies there before anything is written, and written
aside and renamed (`results.parquet`), so that a reader finds it wholly or not at all.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparseattn import arithmetic, paths
from sparseattn.data.corpora import SOURCES
from sparseattn.data.preparation import digest
from sparseattn.data.tasks import CONTEXT, NAMES, SHORTCUTS, SHORTENED, THINNED, load_task
from sparseattn.errors import UserError, among
from sparseattn.experiments.runs import Result
from sparseattn.experiments.store import Store
from sparseattn.models.training import resolve_device
from sparseattn.results import parquet, published
from sparseattn.results.frames import PLACE, cell
from sparseattn.results.published import TOLERANCE, in_words

log = logging.getLogger("sparseattn")


def publishable(
    store: Store, tasks: Sequence[str] = (), keys: Sequence[str] = (), kind: str = "runs"
) -> Sequence[Result]:
    """Return the current ``runs``, ``adversaries`` or ``examinations`` of a store, oldest first.

    Of all the paper's tasks unless some are named, of all keys unless some (or their first digits)
    are; those of the planted task, which the book computes itself, and of shortcuts only where
    named. A UserError for an unknown task, a key that no such result has, or when there is none at
    all.
    """
    every = (*NAMES, CONTEXT, *SHORTCUTS, *SHORTENED, *THINNED)
    for name in tasks:
        if name not in every:
            raise UserError(f"Task '{name}' is not one that can be published.{among(name, every)}")
    wanted = tasks or (every if keys else SOURCES)
    known = [
        one
        for one in store.results(kind)
        if one.state == "current" and one.manifest["task"]["name"] in wanted
    ]
    for key in keys:
        if not any(one.key.startswith(key) for one in known):
            raise UserError(
                f"None of the current {kind} in {store.root} has a key that begins with '{key}'."
            )
    found = [one for one in known if not keys or one.key.startswith(tuple(keys))]
    if not found:
        command = {"runs": "sweep", "adversaries": "adversary", "examinations": "examine"}[kind]
        raise UserError(
            f"No current {kind} of {', '.join(tasks or SOURCES)} in {store.root}: compute "
            f"them with 'sparseattn {command}' first."
        )
    return found


def publish(given: Iterable[Result], folder: Path | None = None) -> list[Path]:
    """Write the measurements of results of one kind, and their origin, to ``book/results``.

    Returns the files written. What is published already, with the same numbers of as many
    documents, is left as it is; one of the same settings by earlier versions of the stages is
    replaced.

    Raises
    ------
    UserError
        Before anything is written: when a result differs from its published self by more than
        `TOLERANCE`; when one with other settings holds the same place (task, encoder, alignment,
        projection, λ, α, seed; of an adversary its variant and λ_adv, too); when a task's data
        differ from those of its published runs, or none are published of an adversary's task; or
        when a result rests on the user's own files, which others do not have.
    """
    folder = paths.results() if folder is None else folder
    new = list({one.key: one for one in given}.values())
    if not new:
        return []
    kind = published.kind_of(new[0])
    for one in new:
        _check_origin(one)
    with parquet.publishing_alone(folder):
        parquet.finish_publishing(folder, kind)
        for old in published.outdone(kind, folder):
            _forget(old.key, old.path, kind)
        describe = _same_data if kind is parquet.ADVERSARIES else _described
        described = describe(new, folder)
        before = {one.key: one for one in published.of_kind(kind, folder=folder)}
        replaced = _replaced(new, before)
        differing = published.against_published(new, folder).query("not agrees")
        if len(differing):
            raise UserError(_differing(differing))

        written = [parquet.write_json(path, task) for path, task in described.items()]
        for one in new:
            measured, here = one.measurements(), folder / one.manifest["task"]["name"]
            if one.key in before and _holds(before[one.key], one):
                continue
            written += parquet.write_result(one.manifest, measured, here, kind)
            if (old_key := replaced.get(one.key)) is not None:
                log.warning("Published run %s was replaced by %s.", old_key, one.key)
                if _forget(old_key, here / kind.folder, kind):
                    log.warning(
                        "Its whole Jacobians are gone with it: 'sparseattn jacobian %s' takes them "
                        "anew.",
                        one.key,
                    )
    return written


def _forget(key: str, place: Path, kind: parquet.Kind) -> bool:
    """Take a result away, a run's Jacobians first, and tell whether it had any."""
    had = kind is parquet.RUNS and _remove(key, place / parquet.JACOBIANS.folder)
    _remove(key, place)
    return had


def _remove(key: str, folder: Path) -> bool:
    """Take the files of a result away, and tell whether there were any."""
    files = [folder / f"{key}.{ending}" for ending in ("json", "parquet")]
    there = any(file.exists() for file in files)
    for file in files:  # the record first: without it the other is not seen
        file.unlink(missing_ok=True)
    return there


def merge(
    file: Path,
    name: str,
    entries: Iterable[Mapping[str, Any]],
    place_of: Callable[[Mapping[str, Any]], Any],
    disagreement: Callable[[Mapping[str, Any], Mapping[str, Any]], str | None] = lambda *_: None,
) -> int:
    """Add entries to a list of a JSON file, ordered by their places; return how many.

    An entry made by other ``versions`` than the one in its place replaces it, as one without
    versions does; else the one that is there stays. `place_of` says what sets an entry apart,
    `disagreement` in what it differs from the one in its place more than it may: a UserError,
    before anything is written.
    """
    with parquet.publishing_alone(file.parent):
        kept: dict[Any, Mapping[str, Any]] = {
            place_of(entry): entry for entry in read_entries(file, name)
        }
        new = 0
        for entry in entries:
            other = kept.get(place_of(entry))
            if other is None or "versions" not in entry or other["versions"] != entry["versions"]:
                kept[place_of(entry)] = entry
                new += 1
            elif (why := disagreement(other, entry)) is not None:
                raise UserError(
                    f"{why} is kept in {file}. If the new one is right, remove that entry there."
                )
        if new:
            listed = {name: [kept[where] for where in sorted(kept)]}
            parquet.write_json(file, listed, checksum=False)
    return new


def read_entries(file: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries that `merge` left in a file; none where it is not there."""
    return list(parquet.read_json(file, [name])[name]) if file.is_file() else []


def recompute(key: str, store: Path, folder: Path | None = None) -> pd.DataFrame:
    """Train and observe a published run anew, and hold it `against_published`.

    The run is named by its key, or the first digits of it; the folder of the `store` must not hold
    the new run yet. A UserError when no single published run has that key, or the data or the
    stages are others now.
    """
    found = [run for run in published.runs(None, folder, None) if key and run.key.startswith(key)]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} published runs have a key that begins with '{key}'; expected one. "
            "The book's ledger lists them."
        )
    spec = found[0].spec
    task = load_task(spec.task, spec.task_options)
    here, there = arithmetic.device(resolve_device(spec.device).type), found[0].manifest["device"]
    if here != there:
        raise UserError(
            f"Run {found[0].key} was made on '{there}', and this is '{here}', whose arithmetic is "
            "another: the same settings are another run here, as different as one with another "
            f"seed. {_over_seeds(found[0], folder)}"
        )
    if spec.key(task.fingerprint) != found[0].key:
        raise UserError(
            f"Run {found[0].key} can no longer be made: with the data and the stages of today, the "
            f"same settings are run {spec.key(task.fingerprint)}. Check out the commit it was made "
            f"with, {found[0].manifest['code']['commit']}."
        )
    return published.against_published([Store(store).compute(spec, task)], folder)


def _over_seeds(run: Result, folder: Path | None) -> str:
    """Say how far the published seeds of a run's cell lie apart."""
    where = [name for name in PLACE if name != "seed"]
    like = [
        one
        for one in published.runs([run.manifest["task"]["name"]], folder, None)
        if all(cell(one).get(name) == cell(run).get(name) for name in where)
    ]
    if len(like) < 2:
        return "No other seed of it is published, so how much that is was not measured."
    told = []
    for name, shown in (("correct", "accuracy"), ("tau_inputs_gradient", "τ-b with gradients")):
        means = [float(one.measurements()[name].mean()) for one in like]
        told.append(f"{shown} from {min(means):.3f} to {max(means):.3f}")
    return f"Its {len(like)} published seeds have, on the observed documents, {' and '.join(told)}."


def _check_origin(kept: Result) -> None:
    base = kept.spec.base
    if base.task not in NAMES or base.vectors not in ("random", "task", "imdb", "glove"):
        raise UserError(
            f"Run {kept.key} ({in_words(kept)}) rests on a file of yours, which others do not "
            f"have. Runs of {', '.join(NAMES)} can be published."
        )


def _same_data(new: Sequence[Result], folder: Path) -> dict[Path, dict[str, Any]]:
    known = published.tasks(folder)
    for one in new:
        name, fingerprint = one.manifest["task"]["name"], one.manifest["task"]["fingerprint"]
        if known.get(name, {}).get("fingerprint") != fingerprint:
            raise UserError(
                f"{one.key} ({in_words(one)}): no runs made from the same data are published. "
                "Publish its base run first."
            )
    return {}


def _holds(known: Result, one: Result) -> bool:
    """Tell whether all that was measured is published: by the same stages, of all documents."""
    theirs, ours = known.measurements(), one.measurements()
    same = known.manifest["versions"] == one.manifest["versions"]
    return same and set(ours) <= set(theirs) and len(ours) <= len(theirs)


def _replaced(new: Sequence[Result], before: Mapping[str, Result]) -> dict[str, str]:
    """Return the key of the published result that each new one replaces."""
    held = {published.place(one): one for one in before.values()}
    replaced: dict[str, str] = {}
    for one in new:
        other = held.setdefault(published.place(one), one)
        if other.key == one.key:
            continue
        theirs = published.settings(other.spec)
        differ = [
            f"{name} ({theirs[name]} and {value})"
            for name, value in published.settings(one.spec).items()
            if theirs[name] != value
        ]
        if differ or other.key not in before:
            raise UserError(
                f"Runs {other.key} and {one.key} are both of {in_words(one)}; they differ in "
                f"{', '.join(differ) or 'the data or the versions'}. Only one can be shown: name "
                "the runs to publish by their keys, or remove the other's file from book/results."
            )
        replaced[one.key] = other.key
        held[published.place(one)] = one
    return replaced


def _described(new: Sequence[Result], folder: Path) -> dict[Path, dict[str, Any]]:
    """Return the task files to write: those that are missing, or know too few documents."""
    known, found = published.tasks(folder, examined=True), {}
    for run in new:
        name, fingerprint = run.manifest["task"]["name"], run.manifest["task"]["fingerprint"]
        count = len(run.measurements())
        task = known.get(name)
        # A file written before there was a vocabulary's size in it is completed.
        poor = task is not None and (len(task["documents"]) < count or "vocabulary" not in task)
        if task is None or (task["fingerprint"] == fingerprint and poor):
            count = max(count, len(task["documents"]) if task else 0)
            loaded = load_task(run.spec.base.task, run.spec.base.task_options)
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
            known[name] = found[folder / name / parquet.TASK] = task
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
