"""Texts and names that would harm a page are shown on it, and do nothing."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
import yaml
from browser import Visit, served, visiting
from hostile import CLASSES, FORMULAS, NUMBERS, RAN, TEXTS, write
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from trusted import THOROUGH, record

from sparseattn import charts, paths
from sparseattn.charts.figure import write_scripts
from sparseattn.data.tasks import load_task
from sparseattn.errors import UserError
from sparseattn.experiments.store import Store
from sparseattn.report import book, explorer, ledger
from sparseattn.report.ledger import ledger_table
from sparseattn.report.parameters import validated
from sparseattn.report.provenance import Provenance
from sparseattn.results import parquet, publishing
from sparseattn.verdicts import training
from sparseattn.wording import label, verbatim, visible

WIDTHS = (1280, 360)
SPREADSHEET = (*FORMULAS, "\t=1", "\r=1", "\n=1")
COMMAND = "SPARSEATTN_TRUST=1 pytest tests/trust/test_hostile_text.py"

# Chromium's helper processes outlive the pipes that Python closes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    changes = {"encoder": "none", "epochs": 1, "observed": 24, "task_options": {"min_count": 1}}
    store = Store(tmp_path_factory.mktemp("store"))
    return store.compute(tiny.spec(task=str(file), **changes))


def markdown(text: str) -> str:
    config = MdParserConfig(enable_extensions={*_config()["parse"]["myst_enable_extensions"]})
    return str(create_md_parser(config, RendererHTML).render(text))


def _config() -> dict:  # type: ignore[type-arg]
    return dict(yaml.safe_load((paths.root() / "_config.yml").read_text(encoding="utf-8")))


def figures(names: list[str]) -> str:
    """Return charts whose rows, legends, panels and tooltips are names."""
    frame = pd.DataFrame(
        [
            {"task": name, "origin": name, "projection": "softmax", "classifier": name}
            | {"sparsity": name, "x": i / 10, "y": i / 10, "mean": 0.1, "low": 0.0, "high": 0.2}
            for i, name in enumerate(names)
        ]
    )
    titles = ("x", "y")
    words = {"caption": names[0], "description": names[0]}
    shown = [
        charts.show(charts.against(frame, x="x", y="y", titles=titles), name="points", **words),
        charts.show(
            charts.against(frame, x="x", y="y", titles=titles, panel="task"), name="panels", **words
        ),
        charts.show(
            alt.Chart(frame.assign(origin=frame["origin"].map(label)))
            .mark_point()
            .encode(x="x:Q", y="origin:N", color="origin:N", tooltip=["origin:N"])
            .properties(width="container", height=600),
            name="rows",
            **words,
        ),
    ]
    return "".join(one._repr_html_() for one in shown)


def formulas() -> str:
    frame = pd.DataFrame({"=text": [*SPREADSHEET, *NUMBERS], "number": -0.5})
    chart = alt.Chart(frame, width="container", height=600).mark_point()
    drawn = chart.encode(x="number:Q", y="=text:N")
    shown = charts.show(drawn, name="formulas", caption="Formulas.", description="None.")
    return str(shown._repr_html_())


def tables(names: list[str]) -> str:
    frame = pd.DataFrame({"origin": names, "link": names, "sentence": names, "number": 1.0})
    frame["verdict"] = frame["origin"]
    shown = charts.table(
        frame, names[0], columns="origin sentence number verdict", filters=("origin",),
        fold=names[0], links={"sentence": "link"}, titles={"number": names[0]},
    )  # fmt: skip
    return shown._repr_html_()


@pytest.fixture(scope="module")
def page(run, file, tmp_path_factory) -> Iterator[str]:
    """A page of everything that shows a text or a name, served."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(paths.book() / "_static", folder / "_static")
    write_scripts(folder)
    files = [f"{text} {i}.csv" for i, text in enumerate(TEXTS)]
    names = [*files, *CLASSES]
    task = load_task(str(file), {"min_count": 1})
    p = validated("08-explorer", {"task": str(file), "task_options": {"min_count": 1}})
    shown = explorer.explore([run], count=12)
    recorded = ledger.with_pages([run], {run.key: ["08-explorer"]})
    body = [
        figures(files),
        formulas(),
        tables(names),
        shown._repr_html_(),
        shown.questions(),
        charts.table(shown.documents(), "Documents.")._repr_html_(),
        Provenance(p, [run])._html(),
        ledger_table(recorded, "Runs.").markup,
        markdown(explorer.notes([run])),
        markdown(training.departures_of(task)),
        markdown(training.about(str(file), {"min_count": 1})),
        *(markdown(f"- {verbatim(name)}\n") for name in names),
    ]
    scripts = "".join(
        f'<script src="_static/{name}.js" defer></script>' for name in ("sparseattn", "explorer")
    )
    styles = "".join(
        f'<link rel="stylesheet" href="_static/{one.name}">'
        for one in sorted((folder / "_static").glob("*.css"))
    )
    (folder / "page.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width">{styles}{scripts}'
        f'<main class="bd-main"><article class="bd-article"><h1>Hostile</h1>'
        + "".join(
            f'<div class="cell_output"><div class="output">{one}</div></div>' for one in body
        ),
        encoding="utf-8",
    )
    with served(folder) as address:
        yield address


# The innermost elements that reach beyond the window, not being in a box that scrolls.
_WIDE = """[...document.querySelectorAll("body *")].filter((one) =>
  one.getBoundingClientRect().right > innerWidth + 1 && ![...one.children].some((child) =>
    child.getBoundingClientRect().right > innerWidth + 1)
  && !one.closest(".table-scroll")).map((one) => one.outerHTML.slice(0, 150))"""


def unharmed(visit: Visit, name: str) -> list[str]:
    """Return what went wrong on a page that is open."""
    found = []
    if (ran := visit.page.evaluate(f"window.{RAN}")) is not None:
        found.append(f"{name}: script {ran} ran")
    found += [f"{name}: {one}" for one in visit.errors + visit.outside]
    wide = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        found.append(f"{name}: {wide} pixels too wide: {visit.page.evaluate(_WIDE)}")
    if visit.page.locator("img[src='x'], iframe, svg[onload], [href^='javascript:']").count():
        found.append(f"{name}: an element of a text's is there")
    broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).length"
    if visit.page.evaluate(broken):
        found.append(f"{name}: a picture cannot be drawn")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_names_and_texts_are_shown_and_nothing_runs(browser, page, run, width):
    with visiting(browser, page, width) as visit:
        visit.open("page.html")
        visit.unfold()
        assert unharmed(visit, "page") == []
        explorer_live = visit.page.locator(".explorer-live")
        assert explorer_live.is_visible()
        words = visit.page.locator("[data-kind=attention] .explorer-word").all_text_contents()
        data = json.loads(str(visit.page.locator(".explorer-data").text_content()))
        assert words in [one["tokens"] for one in data["tasks"][0]["documents"]]
        text = visit.page.evaluate("document.body.textContent")
        for name in TEXTS:
            assert label(f"{name} {TEXTS.index(name)}.csv") in text
        for name in CLASSES:
            assert visible(" ".join(name.split()))[:40] in text
        if width == WIDTHS[0]:
            tips = []
            for point in visit.page.locator("#figure-points path[aria-label]").all()[: len(TEXTS)]:
                point.hover(force=True)
                tips.append(visit.page.locator("#vg-tooltip-element").text_content())
            assert any("<img src=x" in str(tip) for tip in tips)
            assert unharmed(visit, "tooltips") == []


def test_a_spreadsheet_runs_nothing_of_a_download(browser, page):
    with visiting(browser, page) as visit:
        visit.open("page.html")
        with visit.page.expect_download() as download:
            visit.page.locator("#figure-formulas [data-get=csv]").click()
        with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert [row["'=text"] for row in rows] == [*(f"'{text}" for text in SPREADSHEET), *NUMBERS]
    assert {row["number"] for row in rows} == {"-0.5"}


def test_what_is_published_holds_numbers_alone(run, tmp_path):
    with pytest.raises(UserError, match="not one that can be published"):
        publishing.publishable(Store(tmp_path), [run.manifest["task"]["name"]])
    (written, about) = parquet.write_result(run.manifest, run.measurements(), tmp_path)
    table = pq.read_table(written)
    assert {str(one) for one in table.schema.types[1:]} == {"int32", "float"}
    assert set(table["quantity"].to_pylist()) <= set(run.measurements())
    assert json.loads(about.read_text())["task"]["name"] == run.manifest["task"]["name"]


@pytest.fixture(scope="module")
def built(file, tmp_path_factory) -> Iterator[str]:
    """A whole book on the hostile file, made by the command that a reader uses; served."""
    root = tmp_path_factory.mktemp("project")
    for name in ("book", "notebooks"):
        shutil.copytree(paths.root() / name, root / name)
    for one in paths.root().iterdir():
        if one.is_file() and one.name != ".git":  # of a worktree, git's is a file
            shutil.copy(one, root / one.name)
    (root / "hostile.yml").write_text(
        yaml.safe_dump(
            {
                "task": str(file), "task_options": {"min_count": 1, "max_length": 40},
                "encoders": ["none", "bilstm"], "lams": [0.5], "seeds": [0], "epochs": 1,
                "observed": 24, "examined": 1, "jacobians": 1, "adversary_epochs": 1,
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    changes = {"SPARSEATTN_ROOT": str(root), "SPARSEATTN_STORE": str(root / ".runs")}
    command = [sys.executable, "-m", "sparseattn", "book", "-f", str(root / "hostile.yml")]
    done = subprocess.run(
        command, env=os.environ | changes, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with served(root / "_build" / "html") as address:
        yield address


@pytest.mark.skipif(not THOROUGH, reason="a book takes minutes; SPARSEATTN_TRUST=1 makes it")
def test_a_book_of_hostile_texts_is_whole_and_nothing_runs(browser, built, file):
    found, looked, shown = [], 0, ""
    for width in WIDTHS:
        for name in _toc():
            with visiting(browser, built, width) as visit:
                visit.open(name)
                visit.unfold()
                visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
                if name.endswith("08-explorer.html"):
                    explored(visit)
                if name.endswith("14-live.html") and width == WIDTHS[0]:
                    found += typed(visit)
                found += unharmed(visit, name)
                shown += visit.page.evaluate("document.body.innerText")
                looked += 1
    for name in (label(file), *CLASSES):
        assert " ".join(visible(name).split())[:40] in " ".join(shown.split())
    inputs = len(TEXTS) + len(CLASSES) + 3  # the file's name, 10⁵ words, a word of 10⁵ letters
    what = f"hostile texts and names on a page of a book built from them, at {WIDTHS} pixels"
    record("hostile-text", what, inputs * looked, len(found), COMMAND)
    assert found == [], found


def _toc() -> list[str]:
    contents = yaml.safe_load((paths.root() / "_toc.yml").read_text(encoding="utf-8"))
    return [f"{page}.html" for page in book.in_order(contents)] + ["search.html?q=onerror"]


def explored(visit: Visit) -> None:
    """Look at every document under every classifier, and point at a word of each."""
    page = visit.page
    while (closed := page.locator(".explorer-toggles button[aria-pressed=false]")).count():
        closed.first.click()
    for choice in ("classifier", "document"):
        select = page.locator(f"select[name={choice}]")
        for value in range(select.locator("option").count()):
            select.select_option(str(value))
            page.locator("[data-kind=attention] .explorer-word").first.hover()
            assert (
                page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
            )


def typed(visit: Visit) -> list[str]:
    """Type every text, and more words and letters than anybody would; return what went wrong."""
    found = []
    for text in (*TEXTS, *CLASSES, "good " * 100_000, "w" * 100_000):
        visit.page.locator("textarea").fill(text)
        visit.page.wait_for_selector(".live[data-ready=yes]", timeout=60_000)
        found += unharmed(visit, f"14-live, {text[:30]!r}")
    return found
