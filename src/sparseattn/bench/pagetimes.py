"""How soon a page of the built book can be used, in a browser that has seen none of it.

``sparseattn bench --pages [--publish]`` prints it; ``book/results/pages.json`` is what is shown.
"""

import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from sparseattn import paths
from sparseattn.bench.browser import VARIABLE, chromium, executable, pages, served
from sparseattn.bench.timings import rounded
from sparseattn.errors import UserError
from sparseattn.experiments import machine
from sparseattn.results.parquet import read_json, write_json

FILE = "pages.json"
FIRST_CHART = 3.0
"""The most seconds that the front page should take until its first chart is drawn."""
WIDTH, HEIGHT = 1280, 800
PATIENCE = 60_000  # milliseconds, of a machine that is busy

_WATCH = """
window.drawn = {};
new MutationObserver((changes) => {
  for (const change of changes) {
    if (change.attributeName === "data-drawn") window.drawn.first ??= performance.now();
    else window.drawn.all ??= performance.now();
  }
}).observe(document, {subtree: true, attributeFilter: ["data-drawn", "data-charts"]});
"""
_READ = """() => ({
  charts: document.querySelectorAll("figure.chart").length,
  text: performance.getEntriesByType("paint").find((e) => e.name === "first-contentful-paint")
    ?.startTime ?? null,
  first: window.drawn.first ?? null,
  all: window.drawn.all ?? null,
  megabytes: ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0) / 1e6,
})"""


def page_times(book: Path | None = None, visits: int = 3) -> list[dict[str, Any]]:
    """Visit every page of a built book several times, each time with an empty cache.

    Parameters
    ----------
    book
        Its folder; ``_build/html`` by default.
    visits
        To each page, in turns; the medians are returned.

    Returns
    -------
    list of dict
        For each page its ``page``, how many ``charts`` it has, the seconds from the request to the
        ``first_text``, to the ``first_chart`` and to ``all_charts`` (None without charts), and
        ``megabytes`` of all it loaded.

    Raises
    ------
    UserError
        When there is no Chromium, or no book.
    """
    folder = paths.root() / "_build" / "html" if book is None else book
    path, found = executable(), pages(folder)
    if path is None:
        raise UserError(
            "No Chromium on PATH to visit the pages with: install it (Debian's 'chromium'), or "
            f"let {VARIABLE} name it."
        )
    if not found:
        raise UserError(f"No book in {folder} to visit: run 'make book' first.")
    with served(folder) as site, chromium(path) as browser:
        turns = [[_visit(browser, f"{site}/{page}") for page in found] for _ in range(visits)]
    return [
        {"page": page, **_medians([turn[place] for turn in turns])}
        for place, page in enumerate(found)
    ]


def _visit(browser: Browser, address: str) -> dict[str, Any]:
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        context.add_init_script(_WATCH)
        page = context.new_page()
        page.goto(address, wait_until="load", timeout=PATIENCE)
        if page.locator("figure.chart").count():
            page.wait_for_selector("html[data-charts=ready]", timeout=PATIENCE)
        seen: dict[str, Any] = page.evaluate(_READ)
        return seen
    finally:
        context.close()


def _medians(visits: list[dict[str, Any]]) -> dict[str, Any]:
    def seconds(name: str) -> float | None:
        known = [one[name] for one in visits if one[name] is not None]
        return statistics.median(known) / 1e3 if known else None

    return {
        "charts": visits[0]["charts"],
        **{name: seconds(key) for name, key in _TIMES.items()},
        "megabytes": statistics.median(one["megabytes"] for one in visits),
    }


_TIMES = {"first_text": "text", "first_chart": "first", "all_charts": "all"}


def main(publish: bool = False) -> list[dict[str, Any]]:
    """Measure the built book, print it, and return it; with `publish`, into ``book/results`` too.

    Raises
    ------
    UserError
        As `page_times`.
    """
    named = machine.measured_on()  # before the browser is a load itself
    times = page_times()
    print("    first     first       all    (seconds; medians of visits with an empty cache)")
    print("     text     chart    charts       MB")
    for row in times:
        shown = [row[name] for name in _TIMES]
        print(
            " ".join(f"{'' if one is None else format(one, '.2f'):>9}" for one in shown),
            f"{row['megabytes']:8.2f}  {row['page']}",
        )
    if publish:
        report = {"pages": rounded(times), "machine": named}
        print(f"Published in {write_json(paths.results() / FILE, report)}.")
    return times


def read(folder: Path | None = None) -> dict[str, Any] | None:
    """Return what is published, ``pages`` and their ``machine``; None when nothing is."""
    file = (paths.results() if folder is None else folder) / FILE
    return read_json(file, ["pages", "machine"]) if file.is_file() else None
