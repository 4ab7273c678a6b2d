"""The built book in a headless Chromium: what a page complains of, asks of others, loads."""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Browser, Page, sync_playwright

from sparseattn import paths

FLAGS = ("--disable-gpu", "--disable-background-networking", "--no-first-run")


def pages(book: Path) -> list[str]:
    """Return the pages of a built book, by their places in its folder."""
    found = (page.relative_to(book) for page in book.rglob("*.html"))
    others = {"genindex.html", "search.html", "index.html"}
    return sorted(
        str(page)
        for page in found
        if not {"_static", "mathjax"} & set(page.parts) and page.name not in others
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """Start a browser with a fresh profile; without its sandbox, which root cannot have."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*FLAGS, *(["--no-sandbox"] if root else [])]
        )
        try:
            yield browser
        finally:
            browser.close()


BOOK = Path(os.environ.get("SPARSEATTN_HTML") or paths.root() / "_build" / "html")
PAGES = pages(BOOK)


@dataclass
class Visit:
    """A page under watch: what it complained of, what it asked of others, how much it loaded."""

    page: Page
    site: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def loaded(self) -> int:
        """Return the bytes of everything the page has fetched so far, itself included."""
        return int(self.page.evaluate(_SIZES))

    def open(self, path: str) -> None:
        """Go to a page and wait until its charts are drawn and nothing more is loading."""
        self.page.goto(f"{self.site}/{path}", wait_until="networkidle")
        if self.page.locator("figure.chart").count():
            self.page.wait_for_selector("html[data-charts=ready]", timeout=20_000)


@contextmanager
def visiting(
    browser: Browser, site: str, width: int = 1280, theme: str = "light"
) -> Iterator[Visit]:
    """Open a tab of a width in a theme, with ears on it."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, accept_downloads=True, reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)
    context.add_init_script(
        f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
    )
    visit = Visit(context.new_page(), site)

    page = visit.page
    page.on("console", lambda m: visit.errors.append(m.text) if m.type in _BAD else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("requestfailed", lambda request: visit.errors.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((site, "data:", "blob:"))
            else visit.outside.append(request.url)
        ),
    )
    page.on(
        "response",
        lambda response: (
            visit.errors.append(f"{response.status}: {response.url}")
            if response.status >= 400
            else None
        ),
    )
    try:
        yield visit
    finally:
        context.close()


def cut(page: Page) -> list[str]:
    """Return what does not fit: words that a chart cuts off, formulas wider than the page."""
    return [str(words) for words in page.evaluate(_CUT)]


def serious(page: Page) -> list[str]:
    """Return what axe-core finds seriously or critically inaccessible on a page."""
    script = Path(str(axe_playwright_python.__file__)).parent / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [
        f"{violation['id']}: {node['html'][:160]} – {node['failureSummary'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


_BAD = ("error", "warning")
_SIZES = """["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""

# Resolves when formulas are set, if there are any.
_CUT = """
async () => {
  if (window.MathJax) await window.MathJax.startup.promise;
  await new Promise(requestAnimationFrame);
  const beyond = (inner, outer) => inner.width > 0 && (inner.left < outer.left - 1.5
    || inner.right > outer.right + 1.5 || inner.top < outer.top - 1.5
    || inner.bottom > outer.bottom + 1.5);
  const words = [...document.querySelectorAll("figure.chart .chart-live")].flatMap((frame) =>
    [...frame.querySelectorAll("svg text")].filter((text) => text.textContent.endsWith("…") ||
      beyond(text.getBoundingClientRect(), frame.getBoundingClientRect())));
  const wide = [...document.querySelectorAll(".bd-article mjx-container[display]")]
    .filter((formula) => formula.scrollWidth > formula.clientWidth + 1);
  return [...words, ...wide].map((one) => one.textContent || one.className);
}
"""
