"""What a notebook may be given: names, types and ranges, checked inside the notebook itself.

papermill only warns of an unknown parameter, and guesses the type of a known one. So the cell
after the parameters hands its namespace to `check`, whichever way the values came there.
"""

import ast
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from sparseattn import paths
from sparseattn.errors import UserError, among, validate
from sparseattn.wording import Alpha, EncoderName, Lam

if TYPE_CHECKING:
    from sparseattn.experiments.runs import Adversary, Examination, Run
    from sparseattn.experiments.specs import AdversarySpec, AnySpec, ExaminationSpec, Spec

_SPANNING = (
    "task", "task_options", "encoders", "alignments", "lams", "alphas", "seeds", "observed",
    "device", "epochs", "learning_rate", "vectors",
)  # fmt: skip
# What a kernel puts into a fresh namespace.
_KERNEL_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}


class Parameters(BaseModel):
    """Every parameter a notebook of this report can have; each notebook declares those it uses.

    The grid of classifiers is the product of the lists: `encoders` × `alignments` ×
    (`projections`, sparsegen at each λ of `lams`, entmax at each α of `alphas`) × `seeds`.
    None leaves a setting to the classifier's own default. `pressures` are the λ_adv of frozen
    adversaries, and `adversary_epochs` the most epochs of any. `scores`, `shown_lams` and
    `shown_alphas` are those of the page on projections, `tasks` those of the published results.
    `jacobians` is how many documents of each live run the page on hidden states takes whole
    Jacobians of, `examined` how many the page on truth puts to its tests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    task: str = "planted"
    task_options: dict[str, Any] = {}
    encoders: list[EncoderName] = ["bilstm"]
    alignments: list[Literal["additive", "dot"]] = ["additive"]
    projections: list[Literal["softmax", "sparsemax"]] = ["softmax"]
    lams: list[Lam] = []
    alphas: list[Alpha] = []
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    observed: Annotated[int, Field(ge=1)] = 300
    epochs: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    vectors: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs: Annotated[int, Field(ge=1)] | None = None
    pressures: list[Annotated[float, Field(ge=0)]] = []
    adversary_epochs: Annotated[int, Field(ge=1)] | None = None
    tasks: list[Literal["sst", "newsgroups", "imdb"]] = ["sst", "newsgroups", "imdb"]
    jacobians: Annotated[int, Field(ge=0)] = 6
    examined: Annotated[int, Field(ge=1)] = 60
    scores: Annotated[list[float], Field(min_length=2, max_length=40)] = [1.0, 0.0]
    shown_lams: Annotated[list[Lam], Field(min_length=1)] = [0.0]
    shown_alphas: Annotated[list[Alpha], Field(min_length=1)] = [1.5]

    _started: float = PrivateAttr(default_factory=time.monotonic)
    _notebook: str = PrivateAttr(default="")

    @property
    def notebook(self) -> str:
        """The notebook that they were checked for."""
        return self._notebook

    @property
    def seconds(self) -> float:
        """Wall time since the parameters were checked, in seconds."""
        return time.monotonic() - self._started

    def specs(self) -> "list[Spec]":
        """Return the specs of the grid, each once."""
        from sparseattn.experiments.specs import grid

        spanned = {name: getattr(self, name) for name in _SPANNING}
        given = {name: value for name, value in spanned.items() if value is not None}
        grades = {"sparsegen": self.lams, "entmax": self.alphas}
        graded = [name for name, values in grades.items() if values]
        return grid(**given, projections=[*self.projections, *graded])

    def runs(self) -> "list[Run]":
        """Return the runs of the grid, computing those the store does not hold."""
        return _ensured(self.specs(), self.jobs)

    def adversary_specs(self) -> "list[AdversarySpec]":
        """Return the specs of the adversaries against the runs of the grid, each once.

        Of each variant one at the default λ_adv, and frozen ones at all of `pressures`.
        """
        from sparseattn.experiments.specs import CONTROLS, TRAINED, adversaries_of
        from sparseattn.models.adversary import PRESSURE

        runs, most = self.specs(), self.adversary_epochs
        alike = adversaries_of(runs, [*TRAINED, *CONTROLS], epochs=most)
        pressed = adversaries_of(runs, ["frozen"], [PRESSURE, *self.pressures], epochs=most)
        return list(dict.fromkeys([*alike, *pressed]))

    def adversaries(self) -> "list[Adversary]":
        """Return the adversaries of `adversary_specs`, computing those not in the store."""
        from sparseattn.experiments.specs import bases

        specs = self.adversary_specs()
        _ensured(bases(specs), self.jobs)
        return _ensured(specs, self.jobs)

    def examinations(self) -> "list[Examination]":
        """Return the examinations of the runs of the grid, computing those not in the store."""
        from sparseattn.experiments.specs import examinations_of

        return _ensured(examinations_of(self.specs(), self.examined), self.jobs)


def _ensured(specs: "Iterable[AnySpec]", jobs: int | None) -> list[Any]:
    """Return the results of specs, computing those the store does not hold."""
    from sparseattn.experiments.store import Store
    from sparseattn.experiments.sweeps import ensure

    return ensure(dict.fromkeys(specs), Store(paths.store()), jobs)


def compute(pages: Mapping[str, Mapping[str, Any]]) -> None:
    """Compute what notebooks will ask for, given their parameters, with progress.

    Pages share runs, so these are made before any page is executed.
    """
    from sparseattn.experiments.specs import bases, examinations_of

    runs: list[Spec] = []
    adversaries: list[AdversarySpec] = []
    examined: list[ExaminationSpec] = []
    jobs: list[int] = []
    for notebook, values in pages.items():
        own, given = declared(notebook), validated(notebook, values)
        if "encoders" in own:
            runs += given.specs()
            adversaries += given.adversary_specs() if "pressures" in own else []
            if "examined" in own:
                examined += examinations_of(given.specs(), given.examined)
            jobs += [given.jobs] if given.jobs else []
    if runs:
        for specs in ([*runs, *bases([*adversaries, *examined])], adversaries, examined):
            _ensured(specs, max(jobs, default=None))


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text as people write it, 1e-3 a number too; else a `YAMLError`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML lets through what its constructors raise: of '!!int x', of 5,000 digits.
        raise yaml.YAMLError(f"it holds a value that cannot be read ({error})") from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    # PyYAML reads YAML 1.1, where no is false, 010 is 8 and 1:30 is 90. Here they are text.
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):  # ten lines of them stand for gigabytes
            raise yaml.composer.ComposerError(
                None, None, "a value that refers to another (*) is not read", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        twice = [name for number, name in enumerate(names) if name in names[:number]]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"'{twice[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


for _kind, _pattern, _starts in (
    ("null", r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"[-+]?(0|[1-9]\d*)$", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _starts)


def read_parameters(file: Path) -> dict[str, Any]:
    """Read a YAML file of parameters; a UserError unless it maps names to values."""
    try:
        values = load_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the parameters file '{file}': {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The parameters file '{file}' is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(
            f"The parameters file '{file}' holds a {type(values).__name__}; "
            "expected lines like 'task: sst'."
        )
    return {str(name): value for name, value in values.items()}


def declared(notebook: str) -> dict[str, Any]:
    """Return a notebook's parameters: name → default, from the cell tagged ``parameters``.

    A UserError when there is no such notebook, or its parameters are not plain literals.
    """
    names = paths.notebook_names()
    if notebook not in names:
        raise UserError(f"There is no notebook '{notebook}'.{among(notebook, names)}")
    source = (paths.notebooks() / f"{notebook}.py").read_text(encoding="utf-8")
    _, _, rest = source.partition('# %% tags=["parameters", "hide-input"]')
    cell = rest.partition("\n# %%")[0]
    found = {}
    for statement in ast.parse(cell).body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            raise UserError(f"The parameters of '{notebook}' must be plain 'name = value' lines.")
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def validated(
    notebook: str,
    values: Mapping[str, Any],
    advice: str = "Lists and numbers are YAML: -p seeds '[0, 1]' -p epochs 5.",
) -> Parameters:
    """Check values for a notebook, on top of its defaults.

    `advice` follows what is refused where text came instead of a list or a number. A UserError for
    a parameter the notebook does not declare, or a value of the wrong type or out of range; and for
    a task or task option that does not exist.
    """
    defaults = declared(notebook)
    unknown = [name for name in values if name not in defaults]
    if unknown:
        raise UserError(
            "\n".join(
                f"Unknown parameter '{name}' of notebook '{notebook}'.{among(name, defaults)}"
                for name in unknown
            )
        )
    try:
        parameters = validate(Parameters, {**defaults, **values})
        parameters._notebook = notebook
    except UserError as error:
        told = [
            name
            for name, value in values.items()
            if isinstance(value, str) and not isinstance(defaults[name], str)
        ]
        if any(f"Parameter '{name}'" in str(error) for name in told):
            raise UserError(f"{error}\n{advice}") from None
        raise
    if "task" in defaults:
        from sparseattn.data.tasks import check_task

        check_task(parameters.task, parameters.task_options)
    if "encoders" in defaults:
        parameters.specs()  # each spec has rules of its own
    return parameters


def shared(parameters: Parameters, notebook: str) -> Parameters:
    """Return another notebook's parameters: its own grid, on the task and settings given here."""
    names = ("task", "task_options", "observed", "epochs", "learning_rate", "vectors", "device")
    given = {name: getattr(parameters, name) for name in (*names, "jobs")}
    return validated(notebook, given)


def check(namespace: Mapping[str, Any], notebook: str) -> Parameters:
    """Check a notebook's namespace, its ``globals()`` right after its parameters.

    Modules, private names and the kernel's own are passed over; everything else must be a declared
    parameter. Returns and raises as `validated` does.
    """
    given = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in _KERNEL_NAMES
        and not isinstance(value, ModuleType)
    }
    return validated(
        notebook,
        given,
        "A list, a dictionary or a number that arrived as text: papermill's -p guesses types; pass "
        "YAML instead: -y 'seeds: [0, 1]'.",
    )
