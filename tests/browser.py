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
from playwright.sync_api import Browser, Page, Request, sync_playwright

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

    def unfold(self) -> None:
        """Open what holds a figure, and wait until it is drawn."""
        self.page.evaluate(
            "document.querySelectorAll('details:has(figure.chart)').forEach(d => (d.open = true))"
        )
        self.page.wait_for_function(
            "[...document.querySelectorAll('figure.chart')].every(f => f.dataset.drawn)"
        )


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

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it had all
            visit.errors.append(f"failed: {request.url}")

    page = visit.page
    page.on("console", lambda m: visit.errors.append(m.text) if m.type in _BAD else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("requestfailed", failed)
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
    """Return what does not fit: words cut off or set on others, what is wider than its page."""
    return [str(words) for words in page.evaluate(_CUT)]


def cut_in_pictures(page: Page) -> list[str]:
    """Return the words that static pictures cut off, set on others, or lack beside live ones."""
    return [str(words) for words in page.evaluate(_CUT_IN_PICTURES)]


def pale(page: Page, selector: str) -> list[str]:
    """Return text and links of an element, as it now looks, with a contrast below 4.5 to 1."""
    return [str(words) for words in page.locator(selector).first.evaluate(_PALE)]


def serious(page: Page) -> list[str]:
    """Return what axe-core finds seriously or critically inaccessible on a page.

    Of a long table its first rows: the others are alike, and cost half a minute.
    """
    page.evaluate(
        "document.querySelectorAll('tbody').forEach("
        "(body) => [...body.rows].slice(60).forEach((row) => row.remove()))"
    )
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

# Which of some texts stand on another one; those not seen (opacity 0, empty) on none.
_CLASHING = """
  const clashing = (texts) => {
    const seen = texts.filter((text) => text.textContent.trim()
      && text.getAttribute("opacity") !== "0"
      && !text.closest('[opacity="0"]'));
    const boxes = seen.map((text) => text.getBoundingClientRect());
    return seen.filter((_, k) => boxes.some((other, j) => j < k
      && Math.min(boxes[k].right, other.right) - Math.max(boxes[k].left, other.left) > 1
      && Math.min(boxes[k].bottom, other.bottom) - Math.max(boxes[k].top, other.top) > 3));
  };
"""

_CUT_IN_PICTURES = """
() => {
"""
_CUT_IN_PICTURES += _CLASHING
_CUT_IN_PICTURES += """
  const NAMES = [".role-legend-label", ".role-legend-title", ".role-axis-title", ".role-title-text",
    ".role-row-header", ".role-column-header"].map((role) => `${role} text`).join(", ");
  const found = [];
  for (const picture of document.querySelectorAll("figure.chart img.chart-static")) {
    const drawn = document.createElement("div");
    drawn.style.cssText = "position: absolute; left: 0; top: 0; background: white";
    drawn.innerHTML = decodeURIComponent(picture.src.slice(picture.src.indexOf(",") + 1));
    document.body.append(drawn);
    const svg = drawn.querySelector("svg");
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    const out = texts.filter((text) => {
      const box = text.getBoundingClientRect();
      return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
        || box.bottom > frame.bottom + 1);
    });
    const names = [...svg.querySelectorAll(".role-legend-label text")];
    const faint = [...svg.querySelectorAll(".role-legend-symbol path")]
      .filter((one) => Number(one.getAttribute("opacity") ?? 1) < 1);
    const id = picture.closest("figure").id;
    const all = [...out, ...clashing(names), ...faint];
    found.push(...all.map((one) => `${id}: ${one.textContent || "a swatch"}`));
    const live = picture.closest("figure").querySelector(".chart-live svg");
    const [here, there] = [drawn, live].map((one) => new Set(one
      ? [...one.querySelectorAll(NAMES)].map((text) => text.textContent.replace(/\\s/g, "")) : []));
    const lost = [...there].filter((name) => !here.has(name));
    found.push(...lost.map((name) => `${id}: lacks ${name}`));
    drawn.remove();
  }
  return found;
}
"""

_PALE = """
(element) => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0.99) return found;
    }
    return [255, 255, 255];
  };
  return [element, ...element.querySelectorAll("*")]
    .filter((one) => [...one.childNodes].some(
      (child) => child.nodeType === 3 && child.textContent.trim()))
    .map((one) => {
      const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.trim()];
    })
    .filter(([contrast]) => contrast < 4.5)
    .map(([contrast, text]) => `${contrast.toFixed(1)}: ${text}`);
}
"""

# Resolves when formulas are set, if there are any.
_CUT = """
async () => {
"""
_CUT += _CLASHING
_CUT += """
  if (window.MathJax) await window.MathJax.startup.promise;
  await new Promise(requestAnimationFrame);
  const beyond = (inner, outer) => inner.width > 0 && (inner.left < outer.left - 1.5
    || inner.right > outer.right + 1.5 || inner.top < outer.top - 1.5
    || inner.bottom > outer.bottom + 1.5);
  const words = [...document.querySelectorAll("figure.chart .chart-live")].flatMap((frame) =>
    [...frame.querySelectorAll("svg text")].filter((text) => text.textContent.endsWith("…") ||
      beyond(text.getBoundingClientRect(), frame.getBoundingClientRect())));
  const clash = [...document.querySelectorAll("figure.chart .chart-live svg")].flatMap((svg) =>
    clashing([...svg.querySelectorAll(".role-axis-label text")]));
  const wide = [...document.querySelectorAll(".bd-article mjx-container[display]")]
    .filter((formula) => formula.scrollWidth > formula.clientWidth + 1);
  const edge = (part) => {
    const all = document.createRange();
    all.selectNodeContents(part); // words that do not wrap stand out of their own box
    return all.getBoundingClientRect().right;
  };
  const broad = [...document.querySelectorAll("figure.chart figcaption, figure.chart .chart-live")]
    .filter((part) => {
      const drawn = part.querySelector("svg")?.getBoundingClientRect().right ?? edge(part);
      return drawn > part.closest("figure").getBoundingClientRect().right + 1.5;
    });
  return [...words, ...clash, ...wide, ...broad].map((one) => one.textContent || one.className);
}
"""
