"""Which run made this number, on which page: every run behind the book, and what the pages cost.

An executed notebook keeps its origin in its metadata (`report.book`). A page that reads the
origins of others sees those before it, which a build has executed by then, and is itself executed
again when one of them was.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from sparseattn import paths
from sparseattn.charts.figure import inert
from sparseattn.charts.tables import Table, framed, menu
from sparseattn.experiments.runs import Result
from sparseattn.experiments.store import Store
from sparseattn.report.links import ANY, CHOICES, PAGE, to_run, written
from sparseattn.report.provenance import origin_in
from sparseattn.results import frames, published
from sparseattn.results.frames import SPENT
from sparseattn.verdicts.question import KNOWN
from sparseattn.wording import TITLES, as_csv, label, sparsity_rank, verbatim

_ENTRIES = ("parameters", "runs", "seconds", "date")


def everything(before: str = PAGE, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Return every run behind the pages before one, as `with_pages`: published ones first.

    Given tasks, of published ones only theirs, shortened and thinned texts included, and those of
    `verdicts.question.KNOWN`.
    """
    behind = pages_of_runs(pages(before))
    recorded: list[Result] = [
        *published.runs(pretrained=None), *published.adversaries(),
        *published.examinations(pretrained=None),
    ]  # fmt: skip
    known = {one.key for one in recorded}
    every = with_pages([*recorded, *stored([key for key in behind if key not in known])], behind)
    if tasks is None:
        return every
    of = every["task"].str.partition("+")[0]
    asked = (every["origin"] != "published") | every["task"].isin(KNOWN) | of.isin(tasks)
    return every[asked]


def with_pages(results: Sequence[Result], behind: Mapping[str, list[str]]) -> pd.DataFrame:
    """Return `results.frames.ledger` of results, and the ``pages`` that `behind` has of each."""
    frame = frames.ledger(results)
    return frame.assign(pages=[" ".join(behind.get(key, [])) for key in frame["key"]])


def pages(before: str) -> pd.DataFrame:
    """Return what the build executed before one page: one row a page, none outside a build.

    ``notebook``, ``parameters`` (those that differ from its own), ``runs`` (keys), ``seconds`` it
    took to execute, and the ``date`` it was.
    """
    earlier = [name for name in paths.notebook_names() if name < before]
    kept = {name: origin_in(paths.executed_notebook(name)) for name in earlier}
    rows = [
        {"notebook": name, **{entry: origin[entry] for entry in _ENTRIES}}
        for name, origin in kept.items()
        if set(_ENTRIES) <= set(origin)
    ]
    return pd.DataFrame(rows, columns=["notebook", *_ENTRIES])


def pages_of_runs(executed: pd.DataFrame) -> dict[str, list[str]]:
    """Return the pages that rest on each run: key → notebooks; `executed` as of `pages`."""
    behind: dict[str, list[str]] = {}
    for page in executed.to_dict("records"):
        for key in dict.fromkeys(page["runs"]):
            behind.setdefault(key, []).append(page["notebook"])
    return behind


def stored(keys: Sequence[str]) -> list[Result]:
    """Return those of some results that this machine's store holds, in this order."""
    found = map(Store(paths.store()).get, keys)
    return [one for one in found if one is not None]


def times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the computing time behind runs: by ``task``, ``stage``, ``hours`` and ``runs``."""
    long = frame.melt(["task", "key"], list(frames.SPENT), var_name="stage", value_name="spent")
    summed = long.groupby(["task", "stage"], sort=False).agg(
        hours=("spent", lambda seconds: seconds.sum() / 3600), runs=("key", "size")
    )
    return summed.reset_index().assign(stage=lambda rows: rows["stage"].map(frames.SPENT))


def times_by_task(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the hours of each stage, one row a task.

    ``task``, number of ``runs``, the hours of each stage (in words) and of ``all``, and of a run
    the ``median`` seconds, those of the ``processor``, and in how many runs these are ``known``.
    """
    tasks = frame.groupby("task", sort=False)
    hours = times(frame).pivot_table(index="task", columns="stage", values="hours", sort=False)
    hours = hours.reindex(columns=list(frames.SPENT.values()))
    cost = hours.assign(
        all=hours.sum(axis="columns"),
        median=tasks["seconds"].median(),
        processor=tasks["cpu_seconds"].median(),
        known=tasks["cpu_seconds"].count(),
    )
    cost.insert(0, "runs", tasks.size())
    return cost.reset_index().rename_axis(columns=None)


def counted(frame: pd.DataFrame) -> str:
    """Say how many runs there are, of which task and from where."""
    counts = frame.groupby(["origin", "task"], sort=False).size()
    listed = [
        f"{count} on {verbatim(label(task))} ({origin})" for (origin, task), count in counts.items()
    ]
    if not listed:
        return "No run is published, and no page of this build has computed one."
    return f"{len(frame)} runs: {', '.join(listed)}."


def data_behind(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data and initial vectors behind runs, one row each that differs, by state."""
    named = frame.assign(data=frame["fingerprint"].str[:16], day=frame["date"].str[:10])
    cells = named.groupby(["task", "data", "vectors", "state"], sort=False, as_index=False)
    return cells.agg(
        observed=("observed", _joined),
        runs=("key", "size"),
        seeds=("seed", "nunique"),
        days=("day", lambda days: " to ".join(dict.fromkeys([days.min(), days.max()]))),
    )


def machines(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the machines, packages and code behind runs: a row a fact (``of``), a column each."""
    named = frame.assign(
        code=frame["commit"].str.replace(r"^(.{8})[^+]*", r"\1", regex=True).fillna("no commit"),
        machine=frame["gpu"].fillna(frame["processor"]),
    )
    facts = {
        "machine": "GPU, or processor",
        "device": "device",
        "python": "Python",
        "packages": "packages",
        "versions": "stages",
    }
    cells = named.groupby(list(facts), sort=False, as_index=False)
    found = cells.agg(commits=("code", _joined), runs=("key", "size")).rename(columns=facts)
    turned = found.astype("str").T.reset_index(names="of")
    return turned.rename(columns={place: f"{place + 1}" for place in range(len(found))})


def verdict(frame: pd.DataFrame, executed: pd.DataFrame) -> str:
    """Say how many runs the pages of a build (`pages`) rest on, and how many are current."""
    named = {key for keys in executed["runs"] for key in keys}
    resting = int(executed["runs"].map(bool).sum())
    lost = len(named - set(frame["key"]))
    gone = f", {lost} are no longer in the run store" if lost else ""
    return (
        f"{resting} pages of this build rest on {len(named)} runs; {len(named) - lost} of "
        f"them are listed below{gone}. {int((frame['state'] == 'current').sum())} of the "
        f"{len(frame)} runs were made by the stages as they are now, so the same settings would "
        "give them the same key today."
    )


def _joined(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


_TITLES = {**TITLES, "kind": "Kind", "page": "Page"}
_SHOWN = 8  # digits of a key; the row's details have all


def ledger_table(frame: pd.DataFrame, caption: str) -> Table:
    """Return runs, as of `with_pages`, as a table to filter, sort and download.

    Each row has its run's key for an id; its last cell opens to everything known of the run.
    ``book/_static/ledger.js`` turns the filters on. Everything it needs is in the markup: a row's
    ``data-…`` say which choices it is part of (values separated by ``|``), a cell's ``data-sort``
    what to sort it by, and the comma-separated values of each row wait in a script element.
    """
    here = frame["rests_on"].isin(frame["key"])
    rows = frame.assign(base_is_here=here).to_dict("records")
    heads = ("Run", "Task", "Classifier", "Projection", "Seed", "Accuracy", "Seconds")
    numeric = {"Seed", "Accuracy", "Seconds"}
    head = "".join(
        f'<th scope="col"{" class=number" if title in numeric else ""}>{title}</th>'
        for title in heads
    )
    head += '<th scope="col" class="unsorted">Details</th>'
    body = "".join(_row(row) for row in rows)
    kind = "dataframe cards ledger-runs"
    lines = as_csv(frame).splitlines()  # so that just the rows shown can be saved
    return Table(
        f'<div class="ledger"><form class="ledger-choice" role="search" '
        f'aria-label="Choose runs" hidden>{_choices(rows)}'
        '<label class="ledger-words">Words <input type="search" name="words" '
        'placeholder="any text of a row"></label>'
        '<span class="ledger-buttons"><button type="reset">Show all</button>'
        '<button type="button" data-get="csv">Download these (CSV)</button></span></form>'
        f'<p class="ledger-count" role="status">{len(rows)} runs.</p>'
        f"{framed(caption, kind, head, body, 'table-scroll ledger-scroll')}"
        f"{inert('ledger-csv', lines)}</div>",
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
        menus.append(menu(name, _TITLES[name], {value: _words(name, value) for value in ordered}))
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
        f' data-{name}="{escape("|".join(values))}"' for name, values in _chosen_by(row).items()
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
    return f"{key}, which is not published"


def _command(row: Mapping[str, Any]) -> str:
    if row["kind"] != "run":
        command = "examine" if row["kind"] == "examined" else "adversary"
        return f"made anew, with these settings, by <code>sparseattn {command}</code>"
    if row["origin"] == "published":
        recompute = f"<code>sparseattn recompute {escape(row['key'])}</code>"
        if row["state"] == "current":
            return recompute
        commit = str(row["commit"])
        if not commit.isalnum():  # none, or one that was changed
            return "with its own code alone, not all of which was committed"
        return f"with its own code alone: <code>git checkout {commit}</code>, then {recompute}"
    return "computed anew by <code>sparseattn book</code> where the run store is empty"
