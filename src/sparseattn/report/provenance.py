"""Where a page's numbers come from: parameters, runs, data, code, versions, time."""

import hashlib
import html
import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import sparseattn
from sparseattn import paths
from sparseattn.report import links
from sparseattn.report.parameters import Parameters, declared
from sparseattn.wording import visible

if TYPE_CHECKING:
    from sparseattn.experiments.runs import Result

METADATA = "sparseattn"
"""Where an executed notebook keeps its origin."""
DIGEST = "sha256"
"""The entry of the origin that tells whether the notebook is as it was written."""
PACKAGES = ("torch", "entmax", "numpy", "scipy", "pandas", "datasets", "altair", "jupyter-book")


class Provenance:
    """A page's origin, shown at its end and kept in the executed notebook's metadata.

    Of a notebook's checked parameters, and the runs, adversaries and examinations it reads.
    """

    def __init__(self, parameters: Parameters, runs: "Sequence[Result]" = ()) -> None:
        self.notebook, self.parameters, self.runs = parameters.notebook, parameters, runs

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        package = Path(sparseattn.__file__).parent
        modules = sorted(
            Path(module.__file__).relative_to(package).as_posix()
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] == "sparseattn" and module.__file__
        )
        return {"text/html": self._html(), "text/plain": f"Provenance of {self.notebook}"}, {
            METADATA: {"modules": modules, "runs": [run.key for run in self.runs]}
        }

    def _html(self) -> str:
        given = {name: getattr(self.parameters, name) for name in declared(self.notebook)}
        folded = f"<details><summary>{', '.join(given)}</summary>{_code(given)}</details>"
        rows = {
            "Parameters": folded if given else "none",
            "Executed": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
            f"{self.parameters.seconds:.1f} s on {platform.machine()}, "
            f"Python {platform.python_version()}",
            "Packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        }
        if self.runs:
            live = sum(run.stored for run in self.runs)
            rows["Runs"] = (
                f"{len(self.runs)}: {live} of this machine's run store, "
                f"{len(self.runs) - live} published "
                f"(<a href='{links.to_runs(page=self.notebook)}'>in the ledger</a>)"
            )
            if old := sum(run.state != "current" for run in self.runs):
                rows["Older runs"] = (
                    f"{old} of these (<em>outdated</em> below) were made by earlier code, whose "
                    "numbers depended on the make of processor; made again now, they differ as "
                    "another seed would."
                )
            tasks = {run.manifest["task"]["name"]: run.manifest["task"] for run in self.runs}
            rows["Data"] = "; ".join(
                f"{html.escape(visible(name))}, fingerprint {_code(task['fingerprint'][:16])}"
                for name, task in tasks.items()
            )
        table = "".join(
            f"<tr><th scope='row'>{name}</th><td>{value}</td></tr>" for name, value in rows.items()
        )
        return (
            f"<table class='provenance'><caption>Origin of this page</caption>{table}</table>"
            + self._runs_table()
        )

    def _runs_table(self) -> str:
        if not self.runs:
            return ""
        rows = "".join(
            f"<tr><td><a href='{links.to_run(run.key)}'><code>{run.key}</code></a></td>"
            f"<td>{html.escape(visible(run.manifest['task']['name']))}</td>"
            f"<td>{html.escape(run.label)}</td>"
            f"<td>{run.spec.seed}</td><td>{run.manifest['accuracy']:.3f}</td>"
            f"<td>{sum(run.manifest['seconds'].values()):.1f}</td><td>{run.state}</td></tr>"
            for run in self.runs
        )
        return (
            "<details><summary>The runs behind this page</summary><table class='runs'><thead><tr>"
            "<th>run</th><th>task</th><th>classifier</th><th>seed</th><th>test accuracy</th>"
            f"<th>seconds</th><th>state</th></tr></thead><tbody>{rows}</tbody></table></details>"
        )


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"<code>{html.escape(text)}</code>"


def origin_in(executed: Path) -> dict[str, Any]:
    """Return the origin that an executed notebook keeps; nothing where there is none to read.

    Nor is there one where the notebook is not as it was written after its execution.
    """
    try:
        notebook = json.loads(executed.read_text(encoding="utf-8"))
        origin = dict(notebook["metadata"][METADATA])
        if origin.get(DIGEST) in (None, digest_of(notebook)):
            return origin
    except (OSError, KeyError, ValueError, TypeError, RecursionError):
        pass
    return {}


def digest_of(notebook: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an executed notebook, as it is in its file, but for this digest."""
    origin = {k: value for k, value in notebook["metadata"][METADATA].items() if k != DIGEST}
    content = {**notebook, "metadata": {**notebook["metadata"], METADATA: origin}}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def requirements() -> pd.DataFrame:
    """Return the packages the project asks for, in ``requirements.txt``, and those at hand.

    ``package``, ``pinned`` (its one version; None where several would do) and ``here`` (None where
    it is not installed).
    """
    rows = []
    for line in (paths.root() / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if asked := line.partition("#")[0].strip():
            name, _, exact = asked.partition("==")
            package = re.split(r"[^A-Za-z0-9._-]", name)[0]
            rows.append({"package": package, "pinned": exact or None, "here": _installed(package)})
    return pd.DataFrame(rows, columns=["package", "pinned", "here"])


def _installed(package: str) -> str | None:
    try:
        return version(package).partition("+")[0]  # torch's names the kind of machine, too
    except PackageNotFoundError:
        return None


_SPDX = {
    "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "bsd license": "BSD",
    "2-clause bsd": "BSD-2-Clause", "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3": "BSD-3-Clause", "gnu general public license (gpl)": "GPL",
    "isc license": "ISC", "isc license (iscl)": "ISC", "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "public domain": "Public domain",
    "python software foundation license": "PSF-2.0",
}  # fmt: skip
"""What packages and PyPI's classifiers write for the names of https://spdx.org/licenses."""

UNKNOWN_LICENCE = "not stated"


def licences() -> pd.DataFrame:
    """Return the licences of all packages installed here besides this one, by their metadata.

    One row a ``licence``, the most frequent first, by its SPDX name where it has one: how many
    packages (``count``), and their names (``packages``). Where a package does not say which BSD
    licence it has, or any, its licence's text is read; `UNKNOWN_LICENCE` when it has none.
    """
    ours = {one.metadata["Name"]: licence(one) for one in distributions()}
    ours.pop("sparseattn", None)
    frame = pd.DataFrame({"package": ours.keys(), "licence": ours.values()})
    frame = frame.sort_values("package", key=lambda names: names.str.lower())
    grouped = frame.groupby("licence", as_index=False)["package"]
    found = grouped.agg(count="size", packages=", ".join)
    return found.sort_values(["count", "licence"], ascending=[False, True], ignore_index=True)


def licence(package: Distribution) -> str:
    """Return a package's licence: its expression, else its field, its classifiers, its text."""
    expression, field, classifiers = (
        package.metadata.get_all(name) or []
        for name in ("License-Expression", "License", "Classifier")
    )
    said = expression or [one for one in field if "\n" not in one and one != "UNKNOWN"]
    if not any(said):  # some give their whole text there
        said = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    names = " and ".join(_SPDX.get(name.lower(), name) for name in said)
    if names not in ("", "BSD"):
        return names
    return _in_text(package, field) or names or UNKNOWN_LICENCE


def _in_text(package: Distribution, field: list[str]) -> str:
    """Tell MIT's and the BSD licences by their words; nothing for others."""
    files = [
        file for file in package.files or () if re.match("(?i)(licen[cs]e|copying)", file.name)
    ]
    text = " ".join(" ".join([*field, *(file.read_text() for file in files[:1])]).split())
    if "Permission is hereby granted, free of charge" in text:
        return "MIT"
    if "Redistribution and use in source and binary forms" not in text:
        return ""
    return "BSD-3-Clause" if "endorse or promote" in text else "BSD-2-Clause"
