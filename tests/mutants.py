"""Would the suite notice a mistake? Plants mistakes in the code by mutmut, and runs the tests.

``make mutants`` tries every module of `MODULES`, ``make mutants MODULES="kendall paths"`` those
whose name holds one of the words, each mutant with the tests of its module that are not slow. What
was killed is kept in ``_build/mutants`` and not tried again, so a run may be interrupted; what was
not is tried anew, for there may be more tests now. At the end a row for each group goes to
``book/trust``, for the page on reproducibility; a survivor that is not in ``tests/survivors.yml``,
with the reason, is an error.

What is left out: strings, but in the verdict rules, where they are the verdict (elsewhere they are
mostly messages and columns); constants of modules and decorated functions, which mutmut passes
over; of the longer modules, see `MODULES`, all but a random sample, drawn by a fixed seed.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "_build" / "mutants"
SURVIVORS = ROOT / "tests" / "survivors.yml"
CAUGHT = ("killed", "timeout", "segfault")  # the last two are tried anew, too


@dataclass(frozen=True)
class Module:
    """One file to mutate: its group, its tests, and what of it.

    ``functions`` are the only ones, where there are any; at most ``sample`` mutants are tried.
    """

    group: str
    path: str
    tests: tuple[str, ...]
    functions: tuple[str, ...] = ()
    strings: bool = False
    sample: int | None = None

    @property
    def name(self) -> str:
        """What the folder and the survivors are listed under."""
        return f"{self.group}/{self.path.removesuffix('.py')}".replace(" ", "-")

    @property
    def file(self) -> str:
        """The path from the project's folder."""
        return f"src/sparseattn/{self.path}"


def _module(group: str, path: str, **more: Any) -> Module:
    wing, _, room = path.partition("/")
    return Module(group, f"{path}.py", (f"tests/{wing}/test_{room}.py",), **more)


ATTRIBUTION = {
    "influence": ("influence", "pretrained"),
    "importance": ("importance", "pretrained"),
    "paths": ("paths", "pretrained"),
    "removal": ("removal",),
    "explainers": ("explainers", "pretrained"),
    "kernels": ("kernels", "halves", "importance", "influence", "pretrained"),
    "lstm": ("halves", "importance", "influence", "paths", "removal"),
    "transformer": ("halves", "importance", "influence", "paths"),
}
"""Which tests each has: some are those of what uses it."""
MODULES = (
    _module("projections", "models/projections"),
    *(
        _module("measures", f"measures/{name}", sample=60)
        for name in (
            "per_document", "kendall", "divergence", "faithfulness", "plausibility", "nulls",
            "simulability", "flow",
        )
    ),
    _module("statistics", "measures/statistics"),
    _module("effects", "verdicts/effects"),
    _module("verdict rules", "verdicts/judging", strings=True),
    *(
        _module("verdict rules", path, functions=functions, strings=True)
        for path, functions in {
            "measures/statistics": ("compare",),
            "verdicts/claims": ("by_cell", "verdicts", "deciding"),
            "verdicts/question": ("verdicts", "answer"),
            "verdicts/truth": ("passing",),
            "verdicts/replication": ("_verdict",),
        }.items()
    ),
    *(
        Module(
            "attribution", f"attribution/{name}.py",
            tuple(f"tests/attribution/test_{one}.py" for one in tests), sample=40,
        )
        for name, tests in ATTRIBUTION.items()
    ),
)  # fmt: skip


def main(words: list[str]) -> int:
    """Try the modules whose name holds one of `words`, or all; write the rows; list survivors."""
    chosen = [one for one in MODULES if not words or any(word in one.name for word in words)]
    for number, module in enumerate(chosen, 1):
        print(f"\n{number} of {len(chosen)}: {module.name}", flush=True)
        _start(module)
    listed = set(_listed())
    rows: dict[str, list[int]] = {}
    unlisted = []
    for module in MODULES:
        found = _found(module)
        count = rows.setdefault(module.group, [])
        if not found or "not checked" in found.values():
            count.append(-1)  # not tried, or not to its end
            continue
        count += [status in CAUGHT for status in found.values()]
        if module in chosen:
            changes = json.loads((FOLDER / module.name / "survivors.json").read_text("utf-8"))
            unlisted += [change for change in changes if change not in listed]
        caught = sum(status in CAUGHT for status in found.values())
        late = sum(status == "timeout" for status in found.values())
        print(f"{module.name:<40} {len(found):5} tried, {caught:5} killed ({late} by time)")
    for group, killed in rows.items():
        if killed and -1 not in killed:
            _record(group, len(killed), sum(killed))
    for change in unlisted:
        print(f"survives: {change}")
    return int(bool(unlisted))


def _start(module: Module) -> None:
    """Run mutmut on one module, in a folder that looks like the project's but mutates only it."""
    folder = FOLDER / module.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "tests", "pyproject.toml"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name)
    meta, settings = _meta(module), folder / "settings.txt"
    if not (meta.exists() and settings.exists() and settings.read_text("utf-8") == repr(module)):
        # Nothing, a start that was interrupted, or other mutants under the same names.
        shutil.rmtree(folder / "mutants", ignore_errors=True)
        settings.write_text(repr(module), encoding="utf-8")
    else:
        known = json.loads(meta.read_text("utf-8"))
        results = known["exit_code_by_key"]
        known["exit_code_by_key"] = {
            name: code if _status(code) == "killed" else None for name, code in results.items()
        }
        meta.write_text(json.dumps(known), encoding="utf-8")
        # Which test runs what: one that was changed is not asked again, while this is there.
        (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    surroundings = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "SPARSEATTN_ROOT": str(ROOT), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, __file__, "--mutate", str(MODULES.index(module))]
    subprocess.run(command, cwd=folder, env=surroundings, check=True)


def mutate(module: Module) -> None:
    """Plant and try the mutants of one module, in its folder, and write down which survive."""
    from libcst import FunctionDef, SimpleString
    from mutmut import __main__ as mutmut
    from mutmut.configuration import config
    from mutmut.mutation import file_mutation
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    every = file_mutation.create_mutations

    def chosen(*args):  # type: ignore[no-untyped-def]
        whole, mutations, *rest = every(*args)
        kept = [
            one
            for one in mutations
            if isinstance(within := one.contained_by_top_level_function, FunctionDef)
            and (not module.functions or within.name.value in module.functions)
            and (module.strings or not isinstance(one.original_node, SimpleString))
        ]
        if module.sample is not None and len(kept) > module.sample:
            places = random.Random(0).sample(range(len(kept)), module.sample)
            kept = [kept[place] for place in sorted(places)]
        return whole, kept, *rest

    file_mutation.create_mutations = chosen
    config().only_mutate = [module.file]
    config().pytest_add_cli_args_test_selection = list(module.tests)
    mutmut._run((), max_children=1)
    survivors = []
    for name, status in _found(module).items():
        if status not in CAUGHT:
            lines = get_diff_for_mutant(name, path=Path(module.file)).splitlines()[2:]
            old, new = (
                " ".join(" ".join(line[1:].split()) for line in lines if line.startswith(sign))
                for sign in "-+"
            )
            function = name.rpartition(".")[2].partition("__mutmut")[0].removeprefix("x_")
            named = f"{module.path.removesuffix('.py')}.{function.replace('xǁ', '')}"
            survivors.append(f"{named}: {old} → {new}".replace("ǁ", "."))
    Path("survivors.json").write_text(json.dumps(survivors, indent=1, ensure_ascii=False), "utf-8")


def _meta(module: Module) -> Path:
    """Where mutmut keeps what became of each mutant."""
    return FOLDER / module.name / "mutants" / f"{module.file}.meta"


def _found(module: Module) -> dict[str, str]:
    if not (meta := _meta(module)).exists():
        return {}
    known = json.loads(meta.read_text("utf-8"))["exit_code_by_key"]
    return {name: _status(code) for name, code in known.items()}


def _status(code: int | None) -> str:
    if code in (1, 3):
        return "killed"
    if code in (36, -24, 24, 152, 255):
        return "timeout"
    if code in (-11, -9):
        return "segfault"
    return {0: "survived", None: "not checked"}.get(code, "without a test")


def _listed() -> Iterator[str]:
    if SURVIVORS.exists():
        for changes in (yaml.safe_load(SURVIVORS.read_text("utf-8")) or {}).values():
            yield from changes


def _record(group: str, tried: int, killed: int) -> None:
    sampled = any(one.sample for one in MODULES if one.group == group)
    row = {
        "what": f"mistakes planted in {group}"
        + (", a random sample," if sampled else "")
        + " that the tests should notice",
        "tried": tried,
        "lost": tried - killed,
        "command": "make mutants",
    }
    file = ROOT / "book" / "trust" / f"mutants-{group.replace(' ', '-')}.json"
    file.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mutate"]:
        mutate(MODULES[int(sys.argv[2])])
    else:
        sys.exit(main(sys.argv[1:]))
