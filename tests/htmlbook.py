"""A built book as HTML files: what each page says of itself, and what it points at."""

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

OTHERS = {"_static", "mathjax"}  # pages of the theme's own scripts
OURS = ("genindex.html", "search.html")  # that no reader's path leads to by a link
META = ("description", "og:title", "og:description", "og:image", "twitter:card")
# Attributes whose target the browser fetches by itself, by element.
_FETCHED = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "object": "data",
    "script": "src", "source": "src", "video": "src",
}  # fmt: skip
_STYLES = ("icon", "stylesheet", "preload", "modulepreload")
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}


@dataclass
class Html(HTMLParser):
    """One page, read once."""

    text: str
    language: str = ""
    title: str = ""
    headings: int = 0  # h1 in the article, or in the whole of a page without one
    unnamed: int = 0  # images without an alternative text
    raw: str = ""  # all text outside code and scripts
    meta: dict[str, str] = field(default_factory=dict)
    ids: Counter[str] = field(default_factory=Counter)
    choices: dict[str, set[str]] = field(default_factory=dict)  # data of tables' rows, by name
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._articles = 0
        self._outside = 0
        self.feed(self.text)
        self.close()
        self.headings = self.headings if self._articles else self._outside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append(tag)
        if "id" in given:
            self.ids[given["id"]] += 1
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "meta":
            self.meta[given.get("name") or given.get("property", "")] = given.get("content", "")
            if given.get("http-equiv", "").lower() == "refresh":
                self.links.append(given["content"].partition("url=")[2])
        if tag == "tr":
            for name, value in given.items():
                if name.startswith("data-"):
                    values = self.choices.setdefault(name.removeprefix("data-"), set())
                    values.update(value.split("|"))
        if tag == "article":
            self._articles += 1
        if tag == "h1":
            self.headings += "article" in self._open
            self._outside += 1
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "img" and "alt" not in given:
            self.unnamed += 1
        if tag == "link" and any(kind in given.get("rel", "").split() for kind in _STYLES):
            self.fetched.append(given.get("href", ""))
        if tag in _FETCHED and given.get(_FETCHED[tag]):
            self.fetched.append(given[_FETCHED[tag]])

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._open and "svg" not in self._open:
            self.title += data
        if not {"script", "style", "pre", "code"} & set(self._open):
            self.raw += data


def pages(book: Path) -> dict[str, Html]:
    """Return the pages of a built book: path from its top → page."""
    return {
        str(file.relative_to(book)): Html(file.read_text(encoding="utf-8"))
        for file in sorted(book.rglob("*.html"))
        if not OTHERS & set(file.relative_to(book).parts)
    }


def problems(book: Path) -> list[str]:
    """Return what is broken in a built book, a line each; an empty list when nothing is."""
    read = pages(book)
    found = [problem for name, page in read.items() for problem in _alone(name, page)]
    reached, waiting = set(), ["index.html"] if "index.html" in read else []
    for name, page in read.items():
        for link in page.fetched:
            if _is_outside(link):
                found.append(f"{name}: fetches {link} from another server")
            elif not link.startswith("data:"):
                found += _missing(book, read, name, link)
        for link in page.links:
            if not _is_outside(link) and not link.startswith("mailto:"):
                found += _missing(book, read, name, link)
        picture = page.meta.get("og:image", "")
        if picture and not _is_outside(picture):
            found += _missing(book, read, name, picture)
    while waiting:
        name = waiting.pop()
        if name in read and name not in reached:
            reached.add(name)
            waiting += [_target(name, link)[0] for link in read[name].links]
    found += [
        f"{name}: no page leads there" for name in read if name not in reached and name not in OURS
    ]
    return found


def _alone(name: str, page: Html) -> Iterator[str]:
    """Yield what is wrong with a page, whatever else there is."""
    if not page.language:
        yield f"{name}: has no language"
    if not page.title.strip():
        yield f"{name}: has no title"
    if page.headings != 1:
        yield f"{name}: has {page.headings} headings of the first rank"
    for key in META:
        if not page.meta.get(key, "").strip():
            yield f"{name}: has no {key}"
    for identity, count in page.ids.items():
        if count > 1:
            yield f"{name}: has the id '{identity}' {count} times"
    if page.unnamed:
        yield f"{name}: has {page.unnamed} images without an alternative text"
    for role in ("{doc}", "{ref}", "{term}", "{cite", "{numref}", "{eq}"):
        if role in page.raw:
            yield f"{name}: shows the markup {role}"


def _is_outside(link: str) -> bool:
    return bool(urlsplit(link).netloc)


def _target(page: str, link: str) -> tuple[str, str]:
    """Return the file and the fragment that a link on a page means."""
    parts = urlsplit(link)
    path = unquote(parts.path)
    if path.startswith("/"):
        return "/", ""  # the top of a server, which a book in a folder does not have
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    return target, unquote(parts.fragment)


def _missing(book: Path, read: dict[str, Html], page: str, link: str) -> list[str]:
    target, fragment = _target(page, link)
    if target.startswith(("..", "/")) or not (book / target).is_file():
        return [f"{page}: {link} does not exist"]
    if "=" in fragment:  # not a place, but a choice among the rows of a table
        choices = read[target].choices
        if all(value in choices.get(name, ()) for name, value in parse_qsl(fragment)):
            return []
        return [f"{page}: {link} chooses what no row has"]
    if fragment and target in read and fragment not in read[target].ids:
        return [f"{page}: {link} has no such place"]
    return []
