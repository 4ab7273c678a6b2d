"""Shape annotations are checked at run time in every test; and what tests in a browser share."""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
install_import_hook("sparseattn", "beartype.beartype")

from browser import (  # noqa: E402
    BOOK,
    PAGES,
    Visit,
    chromium,
    served,
    visiting,
)

from sparseattn.report.printed import executable  # noqa: E402


def _lacking(what: str) -> NoReturn:
    if os.environ.get("SPARSEATTN_REQUIRE_BROWSER") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if (path := executable()) is None:
        _lacking("no Chromium here: install Debian's 'chromium', or set SPARSEATTN_CHROMIUM")
    with chromium(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not PAGES:
        _lacking(f"no book in {BOOK}: run 'make book' first")
    with served(BOOK) as address:
        yield address


@pytest.fixture
def visit(browser: object, site: str) -> Iterator[Visit]:
    with visiting(browser, site) as opened:
        yield opened
