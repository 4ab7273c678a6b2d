"""The whole book as one PDF: all articles on one page, with static pictures, printed by Chromium.

No script runs: formulas are the MathML, charts the pictures, that pages keep for where none does.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparseattn.errors import UserError

NAME = "sparse-attention.pdf"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 600  # to print in
_STYLE = """<style>
@page { size: A4; margin: 1.6cm; }
article { break-before: page; counter-reset: figure; }
article:first-of-type { break-before: auto; }
body { margin: 0; }
.math.notranslate, .headerlink, .explorer-try { display: none; }
</style>"""


def executable() -> str | None:
    """Return the path of a Chromium on this machine: ``SPARSEATTN_CHROMIUM``, or one on PATH."""
    named = os.environ.get("SPARSEATTN_CHROMIUM")
    return named or next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def gathered(pages: Mapping[str, str]) -> str:
    """Return all articles of a book as one page without a script, which links into itself.

    `pages`: path of each from the top of the book, without ``.html``, to its HTML, in order.
    """
    articles = [_article(name, html, pages) for name, html in pages.items()]
    first = next(iter(pages.values()))
    sheets = re.findall(r'<link[^>]*?href="(?:\.\./)*(_static/[^"?]*)[^"]*"[^>]*stylesheet', first)
    sheets += re.findall(r'<link[^>]*stylesheet[^>]*?href="(?:\.\./)*(_static/[^"?]*)', first)
    head = "".join(f'<link rel="stylesheet" href="{sheet}"/>' for sheet in dict.fromkeys(sheets))
    title = re.search(r"<title>(.*?)</title>", first, re.DOTALL)
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"/><title>{title[1].strip() if title else ""}</title>{head}{_STYLE}'
        f'</head><body class="bd-main">{"".join(articles)}</body>'
        "</html>"
    )


def _article(name: str, html: str, pages: Mapping[str, str]) -> str:
    """Return a page's article, its places named after the page and its links led to places."""
    found = re.search(r"<article class=\"bd-article\".*?</article>", html, re.DOTALL)
    if found is None:
        return ""
    text = re.sub(r"<script\b.*?</script>", "", found[0], flags=re.DOTALL)
    text = re.sub(r"</?noscript>", "", text)  # which is what there is now
    text = re.sub(r'\b(id|for)="([^"]*)"', rf'\1="{name}--\2"', text)
    folder = name.rpartition("/")[0]

    def led(link: re.Match[str]) -> str:
        target, _, place = link[1].partition("#")
        if re.match(r"[a-z]+:", target):
            return link[0]
        path = os.path.normpath(os.path.join(folder, target)) if target else f"{name}.html"
        page = path.removesuffix(".html")
        if page not in pages:
            return ""
        known = place and f'id="{place}"' in pages[page]
        return f'href="#{page}--{place}"' if known else f'href="#{page}"'

    text = re.sub(r'href="([^"]*)"', led, text)
    return text.replace("<article ", f'<article id="{name}" ', 1)


def write(book: Path, names: Sequence[str]) -> Path:
    """Print the pages of a built book, in order, into ``sparse-attention.pdf`` beside them.

    A UserError without a Chromium, or when it fails.
    """
    browser = executable()
    if browser is None:
        raise UserError(
            "A PDF is printed by Chromium, and there is none here: install Debian's 'chromium', "
            "or set SPARSEATTN_CHROMIUM."
        )
    pages = {name: (book / f"{name}.html").read_text(encoding="utf-8") for name in names}
    whole, target = book / "whole.html", book / NAME
    whole.write_text(gathered(pages), encoding="utf-8")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    command = [browser, "--headless", "--disable-gpu", *(["--no-sandbox"] if root else [])]
    command += ["--no-pdf-header-footer", f"--print-to-pdf={target}", whole.as_uri()]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"Chromium did not print the book within {_SECONDS} seconds.") from None
    finally:
        whole.unlink()
    if done.returncode or not target.is_file():
        raise UserError(f"Chromium could not print the book:\n{done.stderr[-2000:]}")
    return target
