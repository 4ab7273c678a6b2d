"""Own texts → one page: how good the classifiers are, what their attention tells, a look at it.

Small classifiers are trained on the texts and put to the tests of the page on truth
(`verdicts.question`); the answer is of these texts alone.
"""

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from sparseattn import charts
from sparseattn.data.owntexts import FILE_KINDS, find_columns, is_own
from sparseattn.data.tasks import Task, load_task
from sparseattn.errors import UserError
from sparseattn.experiments import machine
from sparseattn.experiments.runs import Examination, Run
from sparseattn.experiments.specs import AnySpec, ExaminationSpec, Spec, examinations_of, grid
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure, missing
from sparseattn.report import onefile
from sparseattn.report.execution import write_aside
from sparseattn.report.explorer import explore
from sparseattn.verdicts import question, training
from sparseattn.wording import listed, span, verbatim

SETTINGS: dict[str, Any] = {
    "encoders": ["bilstm", "transformer"],
    "alignments": ["additive"],
    "projections": ["softmax", "sparsemax"],
    "seeds": [0, 1, 2],
    "embedding_size": 64,
    "hidden_size": 32,
    "epochs": 40,
    "patience": 5,
    "observed": 60,
    "device": "cpu",
}
"""Classifiers small enough that a thousand short reviews take two cores about two minutes."""
EXAMINED = 20
"""Documents of each classifier put to the tests; long ones cost more, and there are fewer."""
LONGEST = 200
"""Tokens at which a text is cut."""
TITLE = "Does attention show why?"
_FEWEST, _USUAL = 6, 35  # documents at least; tokens of a text up to which none is left out
_SHOWN = 10  # documents in the explorer


@dataclass(frozen=True)
class Asked:
    """What is to be explained."""

    path: Path
    text: str  # the column of the texts, and that of their labels
    label: str
    task: Task  # the texts, prepared and split
    runs: list[Spec]  # what is to be computed
    examinations: list[ExaminationSpec]

    @property
    def name(self) -> str:
        """The file's name, without its folders."""
        return self.path.name

    def wanted(self, jobs: int) -> list[AnySpec]:
        """Return what is computed: each examination soon after its run, so both times are known."""
        pairs = list(zip(self.runs, self.examinations, strict=True))
        pairs.sort(key=lambda pair: pair[0].seed)
        few = [pairs[start : start + jobs] for start in range(0, len(pairs), jobs)]
        return [one for some in few for kind in zip(*some, strict=True) for one in kind]

    def seconds(self, spec: AnySpec) -> float:
        """Guess the seconds of a run or an examination, from the texts' number and lengths.

        As measured on one core of 2.5 GHz for texts of 14 to 200 tokens.
        """
        texts, length = len(self.task.train), float(self.task.train.lengths.mean())
        if isinstance(spec, ExaminationSpec):
            return 2 + 0.12 * length + spec.documents * (0.004 * length + 0.0004 * length**2)
        rounds = 14  # epochs, most often
        return 1 + rounds * texts * (2.5e-4 + 6e-6 * length) + 60 * 1.5e-3 * length


def explain(
    path: Path,
    output: Path | None = None,
    text: str | None = None,
    label: str | None = None,
    *,
    store: Store,
    jobs: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Path:
    """Train classifiers on a user's texts and write a page on what their attention tells.

    The file is as for `data.owntexts.read_own`, `text` and `label` its columns where they cannot be
    guessed. The page is ``FILE.html`` in the working folder by default. What the store holds is not
    computed again; `store`, `jobs` and `progress` are those of `experiments.sweeps.ensure`. The
    `settings` stand in place of some of `SETTINGS`.

    A UserError, before anything is computed, where the page cannot be written, or the file is not
    as it must be.
    """
    begun = time.monotonic()
    target = _target(path, output)
    asked = ask(path, text, label, **settings)
    jobs = machine.cores() if jobs is None else jobs
    wanted: list[Any] = asked.wanted(jobs)  # of two kinds, which one bar counts together
    if progress:
        print(_announced(asked, missing(wanted, store), jobs))
    found: list[Any] = ensure(wanted, store, jobs, progress, asked.seconds)
    made = dict(zip(wanted, found, strict=True))
    runs = [made[one] for one in asked.runs]
    examinations = [made[one] for one in asked.examinations]
    parts = [
        f"# {TITLE} {verbatim(asked.name)}",
        *_parts(asked, runs, examinations),
        *_origin(asked, runs, time.monotonic() - begun),
    ]
    return onefile.write(target, onefile.page(f"{TITLE} {asked.name}", parts))


def ask(path: Path, text: str | None = None, label: str | None = None, **settings: Any) -> Asked:
    """Read a user's file and say what is to be computed; raises as `explain` does."""
    path = path.expanduser()
    if not is_own(path.name):
        raise UserError(
            f"'{path}' is no file of texts that can be read: expected one of "
            f"{', '.join(FILE_KINDS)}, possibly with .gz behind. From a spreadsheet, save as 'CSV "
            "UTF-8'."
        )
    columns = find_columns(path, text, label)
    options = {"text_column": columns[0], "label_column": columns[1], "max_length": LONGEST}
    task = load_task(str(path), options)
    runs = grid(task=str(path), task_options=options, **SETTINGS | settings)
    length = float(task.test.lengths.mean())
    examined = min(EXAMINED, max(_FEWEST, round(EXAMINED * _USUAL / length)), runs[0].observed)
    return Asked(path, *columns, task, runs, examinations_of(runs, examined))


def _target(path: Path, output: Path | None) -> Path:
    """Return where the page goes, once it is sure that it can, and takes the place of no other."""
    target = output or Path(path.name.removesuffix(".gz")).with_suffix(onefile.ENDING)
    if target.suffix.lower() != onefile.ENDING:
        raise UserError(
            f"-o was '{target}'; expected the name of a page, such as "
            f"{target.with_suffix(onefile.ENDING).name}."
        )
    write_aside(target, b"")
    if output is None and target.is_file():
        head = target.read_bytes()[:4096]
        if onefile.MADE_BY.encode() not in head:
            raise UserError(
                f"There is a file '{target}' that this command did not write. Name the page with "
                "-o: -o page.html"
            )
    return target


def _announced(asked: Asked, wanted: Sequence[AnySpec], jobs: int) -> str:
    """Say of what texts the page will be, and what of it is still to be computed."""
    task = asked.task
    texts = (
        f"{asked.name}: texts in column '{asked.text}', labels in column '{asked.label}' "
        f"('{task.classes[0]}' and '{task.classes[1]}').\n"
        f"{len(task.train):,} texts to train on, {len(task.dev):,} to choose the epoch by, "
        f"{len(task.test):,} to test on; {task.train.lengths.mean():.0f} words on average.\n"
    )
    if not wanted:
        return f"{texts}Everything is computed already."
    return (
        f"{texts}"
        f"{len(asked.runs)} small classifiers are trained, {asked.runs[0].epochs} epochs at most, "
        f"and examined: {len(wanted)} of {2 * len(asked.runs)} runs are to be done, "
        f"{_about(sum(map(asked.seconds, wanted)) / jobs)} on {jobs} free "
        f"core{'s' if jobs > 1 else ''}. Ctrl-C loses nothing: the same command goes on."
    )


def _about(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {round(minutes / 60)} hours"


def _parts(asked: Asked, runs: list[Run], examinations: list[Examination]) -> Iterator[object]:
    """Yield the page: accuracy, the answer, the explorer."""
    zero, one = (f"**{verbatim(name)}**" for name in asked.task.classes)
    yield (
        f"Small classifiers were trained to tell {zero} from {one} in the texts of "
        f"{verbatim(asked.name)}. Each weighs the words of a text by *attention*: under "
        "**softmax** every word keeps some weight, under **sparsemax** many get exactly zero. It "
        "is tempting to read the weights as the reason for a decision. Whether one may, on these "
        "texts, is tested here."
    )
    yield "## How good are the classifiers?"
    scores = accuracies(runs, asked.task)
    yield learned(scores, asked)
    yield charts.table(
        scores,
        f"Accuracy and ROC-AUC on the {len(asked.task.test):,} test texts, means over "
        f"{len({run.spec.seed for run in runs})} trainings that differ in their random start; what "
        "always naming the larger class would reach; and the epochs trained.",
        columns="classifier sparsity accuracy low high larger auc epochs",
        titles={"larger": "larger class"},
        formats={"larger": ".3f"},
    )

    yield "## Does attention show what decides?"
    if not scores["sure"].any():
        yield "**Read this with care: the classifiers have learned next to nothing (above).**"
    frame = question.together(examinations, []).assign(origin=verbatim(asked.name))
    better, above = question.cells(frame), question.cells(frame, chance=True)
    attained = question.attained(frame)
    told = question.answer(frame), question.reached(attained), question.left_out(frame)
    yield "\n\n".join(told)
    yield question.figure(better, "", each="classifier")
    yield question.figure(above, "", chance=True, each="classifier")
    yield charts.table(
        attained,
        "What attention attains in each test, from 0 to 1, beside chance and leave-one-out: means "
        "over classifiers, on the same texts.",
        missing="",
    )
    yield charts.table(
        question.verdicts(better),
        "What each test measures.",
        columns="test statement unit",
        missing="",
        fold="The tests",
    )
    yield (
        f"The tests are of {asked.examinations[0].documents} test texts of each classifier. They "
        "speak of these small classifiers on these texts, and of no other."
    )

    yield "## Look for yourself"
    yield (
        "Test texts, one at a time: choose one and a classifier, change the projection, and point "
        "at any word. The deeper a word's shade and the higher the bar under it, the larger its "
        "share; a grey word has a share of exactly zero. *Attention* is the weight of the state at "
        "a word; *input gradient* and *leave-one-out* are what the decision owes to the word "
        "itself; *influence* is what one state owes to every word. $\\tau_b$ says whether two "
        "measures order the words alike (1) or not (0); *at most* is the largest that ties allow."
    )
    yield explore(runs, _SHOWN)


def accuracies(runs: Sequence[Run], task: Task) -> pd.DataFrame:
    """Return how good classifiers are beside the share of the larger class, a row a cell.

    Columns of `training.whole_test_split`; ``low`` and ``high``, Wilson's 95 % interval of the
    accuracy over test texts; ``larger``, the share of the larger class; ``sure``, whether the
    interval lies above it.
    """
    frame = training.whole_test_split(runs)
    count, share = len(task.test), float(task.test.labels.mean())
    low, high = proportion_confint(frame["accuracy"] * count, count, method="wilson")
    larger = max(share, 1 - share)
    return frame.assign(low=low, high=high, larger=larger, sure=np.asarray(low) > larger)


def learned(scores: pd.DataFrame, asked: Asked) -> str:
    """Say in Markdown how good the classifiers are, and whether they learned anything."""
    larger = scores["larger"].iloc[0]
    told = (
        f"On {len(asked.task.test):,} texts that none was trained on they are right in "
        f"{span(scores['accuracy'], '.0%')} of the cases; always naming the larger class would be "
        f"right in {larger:.0%}."
    )
    weak = scores[~scores["sure"]]
    if weak.empty:
        return told
    if len(weak) == len(scores):
        return (
            f"{told} **None is surely better than that: what they learned, if anything, does not "
            "show, and so there is little to explain.** More texts help most."
        )
    names = [f"{one['classifier']}, {one['sparsity']}" for one in weak.to_dict("records")]
    return f"{told} Not surely better than that: {listed(names)}."


def _origin(asked: Asked, runs: Sequence[Run], seconds: float) -> Iterator[object]:
    """Yield how the page was made."""
    task, spec = asked.task, asked.runs[0]
    options = f"--text {quote(asked.text)} --label {quote(asked.label)}"
    command = f"sparseattn explain {quote(asked.name)} {options}"
    yield "## How this page was made"
    yield (
        f"The {len(task.train):,} training texts taught each classifier, "
        f"{len(task.dev):,} others chose its epoch: of at most {spec.epochs}, that of the highest "
        f"ROC-AUC, and training stopped {spec.patience} epochs after it had last risen. "
        f"The {len(task.test):,} test texts played no part in that. Equal texts always "
        f"share a part. Words in fewer than two training texts are unknown to the classifiers. "
        f"They have {spec.embedding_size} numbers a word and {spec.hidden_size} hidden units."
    )
    if task.deviations:
        yield "\n".join(f"- {verbatim(one)}" for one in task.deviations)
    yield charts.table(
        pd.DataFrame(
            [
                {
                    "run": run.key,
                    "classifier": run.label,
                    "seed": run.spec.seed,
                    "epochs": len(run.curve),
                    "best": run.manifest["best_epoch"],
                    "accuracy": run.manifest["accuracy"],
                }
                for run in runs
            ]
        ),
        "The runs behind this page.",
        titles={"best": "best epoch", "accuracy": "test accuracy"},
        fold="The runs behind this page",
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "altair"))
    yield (
        f"Made by *{verbatim(command)}*, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, within "
        f"{seconds:.0f} s on {platform.machine()}, Python {platform.python_version()}, "
        f"{packages}. Data: fingerprint `{task.fingerprint[:16]}`. This page asks no other "
        "computer for anything, and shows some of the texts: share it with whom you would share "
        "them."
    )
