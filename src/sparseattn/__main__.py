"""The command line."""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperGroup

from sparseattn.errors import ExplainedError, UserError

if TYPE_CHECKING:
    from sparseattn.experiments.runs import Run
    from sparseattn.experiments.specs import Spec
    from sparseattn.experiments.store import Store

# Everything else is imported by the commands that need it: --help answers at once.


class _Commands(TyperGroup):
    """The commands; a failure that explains itself is its message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            told, code = str(interruption) or "Interrupted.", 130
        except ExplainedError as error:
            told, code = str(error), 1
        except UserError as error:
            told, code = str(error), 2
        print(told, file=sys.stderr)
        raise typer.Exit(code)


app = typer.Typer(
    cls=_Commands,
    help="Does sparse attention make a text classifier easier to interpret?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Text = str | None
ParameterOption = Annotated[
    list[str] | None,
    Option("-p", "--parameter", metavar="NAME VALUE",
           help="A parameter and its value, in YAML: -p seeds '[0, 1]'. May be repeated."),
]  # fmt: skip
FileOption = Annotated[
    Path | None, Option("-f", "--parameters", metavar="FILE", help="YAML file of parameters.")
]
JobsOption = Annotated[
    int | None, Option("--jobs", min=1, help="Processes at once, one thread each [default: cores].")
]
QuietOption = Annotated[bool, Option("--quiet", help="Show no progress.")]
TasksOption = Annotated[list[str] | None, Option("--task", help="sst, newsgroups, imdb.")]
KeysArgument = Annotated[list[str] | None, Argument(help="Keys of runs, or their first digits.")]


def _spanned(
    task: Annotated[
        Text, Option(help="planted, sst, newsgroups, imdb, or a file of texts.")
    ] = None,
    encoders: Annotated[Text, Option(help="none,bilstm,transformer")] = None,
    alignments: Annotated[Text, Option(help="additive,dot")] = None,
    projections: Annotated[Text, Option(help="softmax,sparsemax,sparsegen,entmax")] = None,
    lams: Annotated[Text, Option(help="λ of each sparsegen, below 1: -10,0,.3")] = None,
    alphas: Annotated[Text, Option(help="α of each entmax, from 1 to 3, or 'learned'.")] = None,
    seeds: Annotated[Text, Option(help="0,1,2")] = None,
    parameter: ParameterOption = None,
    grid: Annotated[
        Path | None, Option("--grid", "-f", metavar="FILE", help="YAML file of all these.")
    ] = None,
) -> "list[Spec]":
    """Return the specs of a grid: of the file, the options over it, and -p over both."""
    from sparseattn.experiments import specs

    axes = {
        "encoders": encoders, "alignments": alignments, "projections": projections,
        "lams": lams, "alphas": alphas, "seeds": seeds,
    }  # fmt: skip
    values = _from_file(grid)
    values |= {name: _listed(name, text) for name, text in axes.items() if text is not None}
    values |= {} if task is None else {"task": task}
    values |= _pairs(parameter)
    for name, projection in (("lams", "sparsegen"), ("alphas", "entmax")):
        if values.get(name) and projection not in values.get("projections", ["softmax"]):
            raise UserError(f"'{name}' belong to {projection}, which 'projections' does not name.")
    return specs.grid(**values)


def _ensured(
    stages: list[Any],
    jobs: JobsOption = None,
    quiet: QuietOption = False,
    cluster: Annotated[
        Literal["slurm", "local", "debug"] | None, Option(help="Compute by jobs of a cluster.")
    ] = None,
    wait: Annotated[
        bool, Option("--wait", help="Follow SLURM's jobs to their end; exit with 1 if one failed.")
    ] = False,
    partition: Annotated[Text, Option(help="SLURM partition.")] = None,
    minutes: Annotated[int, Option(min=1, help="Time limit of a cluster's job.")] = 240,
    memory: Annotated[int, Option(min=1, help="Memory of a cluster's job, in GB.")] = 8,
) -> list[Any]:
    """Return the results of the last of some stages, each of which rests on those before it.

    Jobs of SLURM are only submitted, and nothing is returned, unless they shall be waited for.
    """
    from sparseattn.experiments.sweeps import Interrupted, ensure

    if wait and cluster != "slurm":
        raise UserError("--wait follows jobs of SLURM: give --cluster slurm, too.")
    compute = None
    if cluster is not None:
        from sparseattn.experiments.cluster import Cluster

        options: dict[str, Any] = {"timeout_min": minutes, "mem_gb": memory}
        options |= {"slurm_partition": partition} if partition else {}
        if cluster == "slurm" and not wait:
            _submit(stages, jobs, options)
            return []
        compute = Cluster(cluster, options)
    try:
        return [ensure(specs, _store(), jobs, not quiet, compute=compute) for specs in stages][-1]
    except Interrupted as stop:
        if cluster != "slurm":
            raise
        raise Interrupted(
            f"{stop} Jobs that were submitted go on meanwhile: squeue --me shows them, "
            "scancel ends them."
        ) from None


def _spanning(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_spanned` and `_ensured`, whose results it gets first."""
    grid = inspect.signature(_spanned).parameters
    _, *how = inspect.signature(_ensured).parameters.values()
    _, _, *own = inspect.signature(command).parameters.values()

    @wraps(command)
    def called(**given: Any) -> None:
        specs = _spanned(**{name: given.pop(name) for name in grid})
        ensured = partial(_ensured, **{one.name: given.pop(one.name) for one in how})
        command(specs, ensured, **given)

    called.__annotations__ = {}
    called.__signature__ = inspect.Signature([*grid.values(), *own, *how])  # type: ignore[attr-defined]
    return called


Ensured = Callable[[list[Any]], list[Any]]  # `_ensured`, its options given


@app.command()
@_spanning
def sweep(specs: "list[Spec]", ensured: Ensured) -> None:
    """Compute the runs of a grid that the store does not hold.

    The grid is the product of the lists; any other setting of a run goes with -p, such as
    -p epochs 5. Lists are separated by commas. Interrupted, the same command goes on.
    """
    for run in ensured([specs]):
        print(_in_words(run))


@app.command()
@_spanning
def adversary(
    specs: "list[Spec]",
    ensured: Ensured,
    variants: Annotated[
        str, Option(help="frozen,unfrozen, and the controls reseeded,uniform")
    ] = "frozen,unfrozen",
    pressures: Annotated[
        Text, Option(help="λ_adv, what a nat of divergence is worth [default: 1].")
    ] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="At most [default: the base's; frozen, twice].")
    ] = None,
    patience: Annotated[
        int | None, Option(min=1, help="Epochs after the last fall [default: the base's].")
    ] = None,
    learning_rate: Annotated[
        float | None, Option(help="[default: the base's; frozen, tenfold]")
    ] = None,
) -> None:
    """Train attention to diverge from that of each run of a grid, its predictions kept.

    The grid of base runs is given as for sweep, -p included; those that the store lacks are
    computed first. Interrupted, the same command goes on.
    """
    from sparseattn.experiments.specs import adversaries_of, bases

    given = {} if pressures is None else {"pressures": _listed("pressures", pressures)}
    given |= {"epochs": epochs, "patience": patience, "learning_rate": learning_rate}
    wanted = adversaries_of(specs, _listed("variants", variants), **given)
    for one in ensured([bases(wanted), wanted]):
        print(
            f"{one.key}  {one.label}, seed {one.spec.base.seed}: "
            f"JSD {one.manifest['jsd']:.3f}, test accuracy {one.manifest['accuracy']:.3f} "
            f"({one.manifest['accuracy_change']:+.3f})"
        )


@app.command()
@_spanning
def examine(
    specs: "list[Spec]",
    ensured: Ensured,
    documents: Annotated[
        int, Option(min=1, help="Of each run, in the order in which they are observed.")
    ] = 60,
) -> None:
    """Put each run of a grid to the tests that need its classifier: faithfulness, flow and others.

    The runs are given as for sweep, -p included; those that the store lacks are computed first.
    Interrupted, the same command goes on.
    """
    from sparseattn.experiments.specs import examinations_of

    for one in ensured([specs, examinations_of(specs, documents)]):
        print(f"{one.key}  {one.label}, seed {one.spec.seed}: {one.spec.documents} documents")


@app.command()
def compute(parameter: ParameterOption = None, file: FileOption = None) -> None:
    """Compute one run, unless the store holds it, and say where it is."""
    from sparseattn.errors import validate
    from sparseattn.experiments.specs import Spec
    from sparseattn.experiments.sweeps import ensure

    spec = validate(Spec, _from_file(file) | _pairs(parameter))
    (run,) = ensure([spec], _store())
    print(f"{_in_words(run)}\n{run.path}")


@app.command()
def ledger(
    as_json: Annotated[bool, Option("--json", help="Write JSON.")] = False,
    as_csv: Annotated[bool, Option("--csv", help="Write CSV.")] = False,
) -> None:
    """List the runs in the store: from what, by which versions, how good, how long."""
    from sparseattn import wording
    from sparseattn.results.frames import stored_ledger

    table = stored_ledger(_store())
    if as_json:
        print(table.to_json(orient="records", indent=1, force_ascii=False))
    elif as_csv:
        print(wording.as_csv(table), end="")
    elif table.empty:
        print(f"No runs in {_store().root}.")
    else:
        table["date"] = table["date"].str.slice(0, 16)
        print(table.drop(columns="versions").to_string(index=False, na_rep="", float_format="%.3g"))


@app.command()
def verify() -> None:
    """Check every file of every run and adversary; what is damaged is set aside, to be redone."""
    from sparseattn.results.frames import stored_ledger

    store = _store()
    problems = list(store.verify().itertuples())
    for row in problems:
        print(f"{row.key}: {row.problem}")
    states = stored_ledger(store)["state"].value_counts()
    print(", ".join(f"{count} {state}" for state, count in states.items()) or "No runs.")
    if problems:
        raise typer.Exit(1)


@app.command()
def tasks(
    sizes: Annotated[bool, Option("--sizes", help="Load them and show sizes.")] = False,
) -> None:
    """List the tasks, and whether their data are at hand."""
    from sparseattn.data.tasks import at_hand

    for name, found in at_hand(sizes):
        print(f"{name}: {found}")
    print("Or the path of a .csv, .jsonl or .json file of your own texts.")


@app.command()
def run(
    notebook: Annotated[str, Argument(help="Its name, such as 05-agreement.")],
    parameter: ParameterOption = None,
    file: FileOption = None,
    output: Annotated[
        Path | None,
        Option("-o", "--output", help="FILE.ipynb or FILE.html [default: NOTEBOOK.ipynb, here]"),
    ] = None,
) -> None:
    """Execute a notebook with other parameters; into one HTML page that needs nothing else, too."""
    from sparseattn.report import book as report

    values = _from_file(file) | _pairs(parameter)
    print(report.run(notebook, values, output or Path(f"{notebook}.ipynb")))


@app.command()
def explain(
    texts: Annotated[Path, Argument(metavar="FILE", help="A .csv, .jsonl or .json file.")],
    output: Annotated[
        Path | None, Option("-o", "--output", help="The page [default: FILE.html, here]")
    ] = None,
    text: Annotated[Text, Option(metavar="COLUMN", help="The column of the texts.")] = None,
    label: Annotated[Text, Option(metavar="COLUMN", help="The column of two labels.")] = None,
    jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train on texts of your own and write one HTML page: does attention show what decides?

    The columns are guessed where that is safe. Interrupted, the same command goes on.
    """
    from sparseattn.report.explain import explain as write_page

    page = write_page(texts, output, text, label, store=_store(), jobs=jobs, progress=not quiet)
    print(f"Open {page}")


@app.command()
def book(
    file: FileOption = None,
    output: Annotated[Path | None, Option("-o", "--output", help="[default: _build/html]")] = None,
    pdf: Annotated[bool, Option("--pdf", help="Print all of it into one PDF, too.")] = False,
) -> None:
    """Execute the notebooks that changed and build the book."""
    from sparseattn.report import book as report

    print(f"Open {report.build(file, output, pdf)}")


@app.command("export-live")
def export_live(
    output: Annotated[
        Path | None, Option("-o", "--output", help="[default: book/_extra/live]")
    ] = None,
    jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the small classifiers that the page 'Your own sentence' runs in the browser."""
    from sparseattn.report import live

    index = live.export(_store(), output, jobs=jobs, progress=not quiet)
    for one in index["classifiers"]:
        print(
            f"{one['key']}  {one['name']}: test accuracy {one['accuracy']:.3f}, {one['bytes']:,} B"
        )
    print(f"{index['bytes'] / 1e6:.2f} MB in all.")


@app.command()
def changes(
    before: Annotated[
        str, Argument(help="Folder or address of another build: https://owner.github.io/name/")
    ],
) -> None:
    """Compare the tables of the book here with those of another build; writes Markdown."""
    from sparseattn import paths
    from sparseattn.report import changes as comparison

    names = paths.notebook_names()
    here = comparison.of_files(paths.executed_notebook(name) for name in names)
    if not here:
        raise UserError("There is no book here to compare: run 'sparseattn book' first.")
    print(comparison.as_markdown(comparison.between(comparison.of_book(before, names), here)))


@app.command()
def pair() -> None:
    """Write each notebook's .ipynb from its .py."""
    from sparseattn import paths
    from sparseattn.report import execution

    for notebook in paths.notebook_names():
        print(execution.pair(notebook))


@app.command()
def publish(
    keys: KeysArgument = None,
    task: TasksOption = None,
    adversaries: Annotated[
        bool, Option("--adversaries", help="The adversaries instead of the runs.")
    ] = False,
    examinations: Annotated[
        bool, Option("--examinations", help="The examinations instead of the runs.")
    ] = False,
) -> None:
    """Add the store's current runs of the paper's tasks to book/results."""
    from sparseattn.results import publishing

    if adversaries and examinations:
        raise UserError("Publish adversaries and examinations one after the other.")
    kind = "adversaries" if adversaries else "examinations" if examinations else "runs"
    found = publishing.publishable(_store(), task or [], keys or [], kind)
    new = sum(path.suffix == ".parquet" for path in publishing.publish(found))
    print(f"{new} {kind} published, {len(found) - new} were already.")


@app.command()
def jacobian(
    keys: KeysArgument = None,
    task: TasksOption = None,
    documents: Annotated[
        int, Option(min=1, help="Of each run; some seconds each for long ones.")
    ] = 30,
) -> None:
    """Hold influence against whole Jacobians: published runs of the paper's Table 1, or KEYS."""
    from sparseattn.results import jacobians

    for run in jacobians.comparable(_store(), task or None, keys or []):
        written = jacobians.compare_published(run, documents)
        done = "compared" if written else "was already"
        print(f"{run.key}  {run.label}, seed {run.spec.seed}: {done}", flush=True)


@app.command()
def recompute(key: Annotated[str, Argument(help="Of a published run.")]) -> None:
    """Make a published run anew and compare; exit with 1 when it differs."""
    from tempfile import TemporaryDirectory

    from sparseattn.results.publishing import recompute as again

    with TemporaryDirectory() as folder:
        compared = again(key, Path(folder))
    print(compared.to_string(index=False))
    if not compared["agrees"].all():
        raise typer.Exit(1)


@app.command()
def deviations(
    task: Annotated[str, Option(help="sst, newsgroups, imdb.")] = "sst",
    seeds: Annotated[str, Option(help="0,1,2")] = "0,1,2",
    jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train with the paper's settings where ours depart; add what that changes to book/results.

    Their runs are kept in a folder of the store of their own: publish takes one run of a
    classifier and seed.
    """
    from sparseattn.results import variants

    made = variants.compute(_store(), task, _listed("seeds", seeds), jobs, progress=not quiet)
    new = variants.record(made)
    print(f"{new} summaries added, {len(made) - new} were there already.")


@app.command()
def paper(as_json: Annotated[bool, Option("--json", help="Write JSON.")] = False) -> None:
    """Print every figure of the paper beside ours; exit with 1 when one is missing."""
    from sparseattn.verdicts import replication

    found = replication.replicate()
    print(replication.as_json(found) if as_json else replication.as_text(found))
    if len(replication.missing(found)):
        raise typer.Exit(1)


@app.command()
def bench(
    quick: Annotated[bool, Option("--quick", help="Fewer sizes and repetitions.")] = False,
    threads: Annotated[int | None, Option(min=1, help="Torch's threads [default: cores].")] = None,
    publish: Annotated[
        bool, Option("--publish", help="Add the measurement to book/results.")
    ] = False,
) -> None:
    """Time what is costly against what one would use instead."""
    from sparseattn.bench import benchmark

    benchmark.main(quick, threads, publish)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 a mistake to mend, 130 interrupted."""
    app(_joined(sys.argv[1:] if arguments is None else arguments), prog_name="sparseattn")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join ``-p name value`` to ``-p name=value``: an option has one value here."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument in ("-p", "--parameter"):
            name = next(rest, None)
            value = None if name is None or "=" in name else next(rest, None)
            joined += [] if name is None else [name if value is None else f"{name}={value}"]
    return joined


def _pairs(parameters: list[str] | None) -> dict[str, Any]:
    values = {}
    for parameter in parameters or ():
        name, equals, text = parameter.partition("=")
        if not equals:
            raise UserError(f"-p needs a name and a value; '{name}' has no value.")
        values[name] = _value(name, text)
    return values


def _value(name: str, text: str) -> Any:
    import yaml

    from sparseattn.report.parameters import load_yaml

    if text.startswith(tuple("#@`%&*!|>")):  # no value of ours, but a path may start so
        return text
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        raise UserError(f"Parameter '{name}' was {text!r}, which is not YAML.") from None


def _listed(name: str, text: str) -> Any:
    return _value(name, text if text.lstrip().startswith("[") else f"[{text}]")


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    from sparseattn.report.parameters import read_parameters

    return read_parameters(file)


def _store() -> "Store":
    from sparseattn import paths
    from sparseattn.experiments.store import Store

    return Store(paths.store())


def _submit(stages: list[Any], jobs: int | None, options: dict[str, Any]) -> None:
    from sparseattn.experiments.cluster import queued, submit
    from sparseattn.experiments.sweeps import missing

    new, under_way, stored = 0, 0, 0
    before: list[Any] = []
    for specs in stages:
        lacking = missing(specs, _store())
        there = queued(lacking, _store())
        wanted = [spec for spec in lacking if spec not in there]
        given = submit(wanted, _store(), "slurm", jobs, before, **options) if wanted else []
        before = [*there.values(), *given]
        new, under_way = new + len(given), under_way + len(there)
        stored += len(set(specs)) - len(lacking)
    print(f"{new} jobs submitted, {under_way} were already; {stored} runs are in the store.")
    if new or under_way:
        print(
            "squeue --me shows them, sparseattn ledger what is done; the same command with --wait "
            "follows them."
        )


def _in_words(run: "Run") -> str:
    accuracy, auc = (
        "none" if run.manifest[name] is None else f"{run.manifest[name]:.3f}"
        for name in ("accuracy", "auc")
    )
    return f"{run.key}  {run.label}, seed {run.spec.seed}: test accuracy {accuracy}, AUC {auc}"


if __name__ == "__main__":
    main()
