"""The ledger as HTML: a whole table without a script; with one, filters, sorting and a download.

``book/_static/ledger.js`` turns the filters on. Everything it needs is in the markup: a row's
``data-…`` say which choices it is part of (values separated by ``|``), a cell's ``data-sort`` what
to sort it by, and the comma-separated values of each row wait in a script element.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from sparseattn.charts.figure import inert
from sparseattn.charts.tables import Table
from sparseattn.report.links import ANY, CHOICES, to_run, written
from sparseattn.results.frames import SPENT
from sparseattn.wording import TITLES, label, sparsity_rank, visible

_TITLES = {**TITLES, "kind": "Kind", "page": "Page"}
_SHOWN = 8  # digits of a key; the row's details have all
_SPLIT = "|"


def ledger_table(frame: pd.DataFrame, caption: str) -> Table:
    """Return runs, as of `report.ledger.with_pages`, as a table to filter, sort and download.

    Each row has its run's key for an id; its last cell opens to everything known of the run.
    """
    here = frame["rests_on"].isin(frame["key"])
    rows = frame.assign(base_is_here=here).to_dict("records")
    heads = ("Run", "Task", "Classifier", "Projection", "Seed", "Accuracy", "Seconds")
    numeric = {"Seed", "Accuracy", "Seconds"}
    head = "".join(
        f'<th scope="col"{" class=number" if title in numeric else ""}>{title}</th>'
        for title in heads
    )
    body = "".join(_row(row) for row in rows)
    # A line a row (no value has a line break), so that just the rows shown can be saved.
    lines = frame.assign(task=frame["task"].map(visible)).to_csv(index=False).splitlines()
    return Table(
        f'<div class="ledger"><form class="ledger-choice" role="search" '
        f'aria-label="Choose runs" hidden>{_choices(rows)}'
        '<label class="ledger-words">Words <input type="search" name="words" '
        'placeholder="any text of a row"></label>'
        '<span class="ledger-buttons"><button type="reset">Show all</button>'
        '<button type="button" data-get="csv">Download these (CSV)</button></span></form>'
        f'<p class="ledger-count" role="status">{len(rows)} runs.</p>'
        f'<div class="table-scroll ledger-scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table class="dataframe cards ledger-runs">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}"
        f'<th scope="col" class="unsorted">Details</th></tr></thead><tbody>{body}</tbody></table>'
        f"</div>{inert('ledger-csv', lines)}</div>",
        caption,
    )


def _choices(rows: list[dict[str, Any]]) -> str:
    found: dict[str, dict[str, None]] = {name: {} for name in CHOICES}
    for row in rows:
        for name, mine in _chosen_by(row).items():
            found[name] |= dict.fromkeys(mine)
    menus = []
    for name, values in found.items():
        if len(values) < 2:  # nothing to choose
            continue
        ordered = list(values)
        if name in ("lam", "seed"):
            ordered = sorted(values, key=lambda value: -1e9 if value == ANY else float(value))
        elif name == "page":
            ordered = sorted(values)
        options = "".join(
            f'<option value="{escape(value)}">{escape(_words(name, value))}</option>'
            for value in ordered
        )
        title = escape(_TITLES[name])
        menus.append(
            f'<label>{title} <select name="{name}"><option value="">all</option>{options}'
            "</select></label>"
        )
    return "".join(menus)


def _chosen_by(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the choices that a run is part of."""
    own = {name: [written(row[name])] for name in CHOICES if name not in ("lam", "page")}
    lam = [ANY, written(row["lam"])] if pd.notna(row["lam"]) else []
    return {**own, "lam": lam, "page": str(row["pages"]).split()}


def _words(name: str, value: str) -> str:
    if name == "lam":
        return "any" if value == ANY else value.replace("-", "−")
    return label(value)


def _row(row: Mapping[str, Any]) -> str:
    data = "".join(
        f' data-{name}="{escape(_SPLIT.join(values))}"' for name, values in _chosen_by(row).items()
    )
    key = escape(row["key"])
    sparse = escape(row["sparsity"]).replace(" = ", "\u00a0=\u00a0")
    if row["kind"] == "examined":
        sparse += ", examined"
    elif row["kind"] != "run":
        sparse += f", {escape(row['kind'])} adversary"
    sparsity = sparsity_rank(row["projection"], row["lam"])
    cells = [  # a narrow page shows the title of each beside it, in place of the head
        f'<th scope="row" data-title="Run"><a href="{to_run(key)}">'
        f"<code>{key[:_SHOWN]}</code></a></th>",
        f'<td data-title="Task">{escape(label(row["task"]))}</td>',
        f'<td data-title="Classifier">{escape(row["classifier"])}</td>',
        f'<td data-title="Projection" data-sort="{sparsity:g}">{sparse}</td>',
        f'<td data-title="Seed" class="number">{row["seed"]}</td>',
        f'<td data-title="Accuracy" class="number" data-sort="{row["accuracy"]:.6f}">'
        f"{row['accuracy']:.3f}</td>",
        f'<td data-title="Seconds" class="number" data-sort="{row["seconds"]:.3f}">'
        f"{row['seconds']:,.0f}</td>",
        f"<td><details><summary>more</summary>{_details(row)}</details></td>",
    ]
    return f'<tr id="{key}"{data}>{"".join(cells)}</tr>'


def _details(row: Mapping[str, Any]) -> str:
    settings = {
        name: row[name]
        for name in ("vectors", "learning_rate", "epochs", "patience", "batch_size", "observed")
    }
    if pd.notna(row["pressure"]):
        settings["pressure"] = row["pressure"]
    times = ", ".join(f"{words} {row[name]:,.1f} s" for name, words in SPENT.items())
    if pd.notna(row["cpu_seconds"]):
        times += f"; of the processor {row['cpu_seconds']:,.1f} s"
    gpu = f", {row['gpu']}" if pd.notna(row["gpu"]) else ""
    auc = "" if pd.isna(row["auc"]) else f", ROC-AUC {row['auc']:.3f}"
    dev_auc = "" if pd.isna(row["dev_auc"]) else f", ROC-AUC {row['dev_auc']:.3f}"
    epoch = "" if pd.isna(row["best_epoch"]) else f"; epoch {row['best_epoch']:.0f}"
    facts = {
        "Run": f"<code>{escape(row['key'])}</code>, {escape(row['origin'])}, {row['state']}",
        "Check it": _command(row),
        "Used by": ", ".join(
            f'<a href="{escape(page)}.html">{escape(page)}</a>' for page in row["pages"].split()
        )
        or "no page of this build",
        "Scores": f"test accuracy {row['accuracy']:.3f}{auc}; on dev "
        f"{row['dev_accuracy']:.3f}{dev_auc}{epoch}",
        "Settings": escape(", ".join(f"{name} {written(one)}" for name, one in settings.items())),
        "Time": times,
        "Rests on": _base(row),
        "Computed": f"{escape(row['date'][:16].replace('T', ' '))} UTC, {escape(row['device'])}, "
        f"{escape(row['processor'])}, {row['cores']} cores{escape(gpu)}",
        "Versions": escape(f"stages {row['versions']}; Python {row['python']}, {row['packages']}"),
        "Code": f"<code>{escape(row['commit'] if pd.notna(row['commit']) else 'no commit')}</code>",
        "Data": f"<code>{escape(row['fingerprint'][:16])}</code>",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{fact}</dd>" for name, fact in facts.items())
    return f"<dl>{listed}</dl>"


def _base(row: Mapping[str, Any]) -> str:
    if pd.isna(row["rests_on"]):
        return "no other run"
    key = f"<code>{escape(row['rests_on'])}</code>"
    if row["base_is_here"]:
        return f'<a href="{to_run(row["rests_on"])}">{key}</a>'
    return f"{key}, which a run by newer stages has replaced"


def _command(row: Mapping[str, Any]) -> str:
    if row["kind"] != "run":
        command = "examine" if row["kind"] == "examined" else "adversary"
        return f"made anew, with these settings, by <code>sparseattn {command}</code>"
    if row["origin"] == "published":
        return f"<code>sparseattn recompute {escape(row['key'])}</code>"
    return "computed anew by <code>sparseattn book</code> where the run store is empty"
