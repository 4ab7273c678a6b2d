"""The built book on a port of this machine, and a headless Chromium to look at it."""

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

VARIABLE = "SPARSEATTN_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--disable-gpu", "--disable-background-networking", "--no-first-run")


def executable() -> str | None:
    """Return the path of a Chromium on this machine: ``SPARSEATTN_CHROMIUM``, or one on PATH."""
    named = os.environ.get(VARIABLE)
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


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
