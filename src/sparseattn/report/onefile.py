"""Markdown, tables, figures and explorer as one HTML file that opens from a disk and asks for none.

Scripts and styles of ``book/_static`` stand in the file itself, formulas are MathML. A browser is
told to run these scripts alone and to load nothing, so that a text which looked like markup could
do no harm even if it were not escaped.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

from sparseattn import paths
from sparseattn.charts.figure import vega_script
from sparseattn.report.execution import write_aside
from sparseattn.report.sphinx_extension import mathml

ENDING = ".html"
MADE_BY = '<meta name="generator" content="sparseattn">'
_STYLES = ("sparseattn.css", "explorer.css", "records.css")
# Where a page holds this, it needs that script.
_SCRIPTS = {'class="explorer"': "explorer.js", 'class="ledger': "ledger.js"}
_THEME = (
    'const dark = matchMedia("(prefers-color-scheme: dark)");'
    'const follow = () => (document.documentElement.dataset.theme = dark.matches ? "dark" : "light"'
    ');follow();dark.addEventListener("change", follow);'
)
_LABEL = re.compile(r"^\(([\w-]+)\)=\n", re.MULTILINE)
_UNSHOWN = {"remove-cell", "hide-cell", "remove-output", "parameters"}


def page(title: str, parts: Iterable[object]) -> str:
    """Return one HTML page that needs nothing else, of a title in plain text.

    Its parts in order: Markdown as a string, with formulas between dollars; or what shows itself as
    Markdown or HTML (IPython's ``Markdown``, `charts.Table`, `charts.Figure`, an explorer).
    """
    return _whole(title, "\n".join(map(_part, parts)))


def write(output: Path, content: str) -> Path:
    """Write a page wholly or not at all; a UserError when the system refuses."""
    return write_aside(output, content.encode("utf-8")).replace(output)


def of_notebook(name: str, executed: Mapping[str, Any]) -> str:
    """Return an executed notebook, the JSON of an ``.ipynb``, as such a page, without its code.

    Links to other pages of the book, which are not there, are left as words.
    """
    shown = []
    for cell in executed["cells"]:
        if _UNSHOWN & set(cell["metadata"].get("tags", ())):
            continue
        if cell["cell_type"] == "markdown":
            shown.append(markdown("".join(cell["source"])))
        elif cell["cell_type"] == "code":
            shown += [_output(one) for one in cell["outputs"]]
    return _whole(_title(paths.notebooks() / f"{name}.py"), "\n".join(shown), f"{name}{ENDING}")


def markdown(text: str) -> str:
    """Return Markdown as HTML: formulas as MathML, labels as places, references as words."""
    first, *labelled = _LABEL.split(text)
    html = str(_reader().render(first))
    for label, rest in zip(labelled[::2], labelled[1::2], strict=True):
        html += f'<span id="{label}"></span>\n{_reader().render(rest)}'
    return html


def _part(part: object) -> str:
    if isinstance(part, str):
        return markdown(part)
    if (draw := getattr(part, "_repr_markdown_", None)) is not None:
        return markdown(str(draw()))
    return _framed(part._repr_html_(), "text_html")  # type: ignore[attr-defined]


def _output(output: Mapping[str, Any]) -> str:
    """Return what a notebook's cell shows, in the richest form there is."""
    if output["output_type"] == "stream":
        return _plain(output["text"]) if output["name"] == "stdout" else ""
    kinds = output.get("data", {})
    if "text/html" in kinds:
        return _framed("".join(kinds["text/html"]), "text_html")
    if "text/markdown" in kinds:
        return markdown("".join(kinds["text/markdown"]))
    return _plain(kinds.get("text/plain", ""))


def _plain(text: str | list[str]) -> str:
    whole = "".join(text)
    return _framed(f"<pre>{escape(whole)}</pre>", "text_plain") if whole.strip() else ""


def _framed(html: str, kind: str) -> str:
    """Return an output as the book frames it, whose styles know it so."""
    inner = f'<div class="output {kind}">{html}</div>'
    return f'<div class="cell"><div class="cell_output">{inner}</div></div>'


def _whole(title: str, body: str, own: str = "") -> str:
    body = _alone(body, own)
    scripts = [_THEME]
    if 'class="chart"' in body:
        scripts.append(vega_script())
    for name in ("sparseattn.js", *(one for sign, one in _SCRIPTS.items() if sign in body)):
        scripts.append((_static() / name).read_text(encoding="utf-8"))
    scripts = [_inline(one) for one in scripts]
    digests = (hashlib.sha256(one.encode("utf-8")).digest() for one in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    policy = (  # Vega makes functions of its expressions
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    sheets = [*(_static() / one for one in _STYLES), paths.book() / "_templates" / "onefile.css"]
    style = "\n".join(file.read_text(encoding="utf-8") for file in sheets)
    head, *rest = (f"<script>{one}</script>" for one in scripts)
    return (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f"{MADE_BY}<title>{escape(title)}</title>"
        f"<style>{style}</style>{head}</head>\n"
        f'<body class="bd-main"><main class="bd-content"><article class="bd-article">\n{body}\n'
        "</article></main>\n" + "\n".join([*rest, "</body></html>\n"])
    )


def _alone(body: str, own: str) -> str:
    """Return a body whose links lead within the page or to an address; those to others are words.

    `own` is what others call this page.
    """

    def link(found: re.Match[str]) -> str:
        target = unescape(found[2])
        if own and target.startswith(f"{own}#"):
            target = target.removeprefix(own)
        within = target.startswith("#") and f'id="{target[1:]}"' in body
        if within or re.match(r"(https?|mailto):", target):
            return f'<a{found[1]}href="{escape(target)}"{found[3]}>{found[4]}</a>'
        return found[4]

    def mark(found: re.Match[str]) -> str:
        target = str(json.loads(found[1]))
        here = own and target.startswith(f"{own}#")
        return f'"page":{json.dumps(target.removeprefix(own))}' if here else '"page":null'

    body = re.sub(r"""<a\b([^>]*?)href=["']([^"']*)["']([^>]*)>(.*?)</a>""", link, body, flags=re.S)
    charts = r'(<script type="application/json" class="chart-spec">)(.*?)(</script>)'
    return re.sub(
        charts,
        lambda one: one[1] + re.sub(r'"page":("[^"]*")', mark, one[2]) + one[3],
        body,
        flags=re.S,
    )


def _inline(script: str) -> str:
    """Return a script as it may stand in a page: nothing in it ends its element."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


def _static() -> Path:
    return paths.book() / "_static"


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.use(
        dollarmath_plugin,
        renderer=lambda tex, options: _formula(tex.strip(), bool(options["display_mode"])),
    )
    reader.use(myst_role_plugin)
    reader.add_render_rule("myst_role", _role)
    return reader


def _formula(tex: str, block: bool) -> str:
    return f'<div class="math">{mathml(tex, block)}</div>' if block else mathml(tex, block)


def _role(
    reader: object, tokens: list[Any], index: int, options: object, environment: object
) -> str:
    """Return a reference as words: its own, a page's or section's title, a citation."""
    kind, content = tokens[index].meta["name"], " ".join(tokens[index].content.split())
    if own := re.fullmatch(r"(.*?)\s*<([^>]*)>", content):
        words, target = own[1], own[2]
    else:
        words, target = "", content
    if kind == "ref":
        return f'<a href="#{escape(target)}">{escape(words or _sections().get(target, target))}</a>'
    if kind == "doc":
        return escape(words or _page_title(target))
    if kind.startswith("cite"):
        told = [_cited(key.strip()) for key in content.split(",")]
        if kind == "cite:t":
            return escape(", ".join(f"{who} ({year})" for who, year in told))
        return escape(f"({'; '.join(f'{who}, {year}' for who, year in told)})")
    return escape(words or target)


def _page_title(target: str) -> str:
    name = target.rpartition("/")[2]
    for file in (paths.notebooks() / f"{name}.py", paths.book() / f"{name}.md"):
        if file.is_file():
            return _title(file)
    return name


def _title(file: Path) -> str:
    mark = "# # " if file.suffix == ".py" else "# "  # in a script, text is a comment
    found = re.search(rf"^{mark}(.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else file.stem


@cache
def _sections() -> dict[str, str]:
    """Return the titles of the book's labelled sections."""
    files = [*paths.notebooks().glob("*.py"), *paths.book().glob("*.md")]
    heading = re.compile(r"^(?:# )?\(([\w-]+)\)=\n(?:# )?#+ (.+)$", re.MULTILINE)
    return {
        label: title.strip()
        for file in files
        for label, title in heading.findall(file.read_text(encoding="utf-8"))
    }


@cache
def _cited(key: str) -> tuple[str, str]:
    """Return the authors, and the year, of an entry of the bibliography."""
    text = (paths.book() / "references.bib").read_text(encoding="utf-8")
    entry = re.search(rf"^@\w+\{{{re.escape(key)},\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    fields = dict(re.findall(r"^\s*(\w+) = \{(.*)\},?$", entry[1], re.MULTILINE)) if entry else {}
    names = [
        re.sub(r"\\.|[{}]", "", one.partition(",")[0]) for one in fields["author"].split(" and ")
    ] if "author" in fields else [key]  # fmt: skip
    told = names[0] if len(names) == 1 else " and ".join(names)
    return f"{names[0]} et al." if len(names) > 2 else told, fields.get("year", "n.d.")
