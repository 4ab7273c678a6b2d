"""Where the book is published and where its source lives: what the environment says, checked.

Both are unknown to whoever builds the book from a copy, and then nothing on the pages refers to
them: ``BOOK_REPOSITORY`` adds the buttons that launch, edit and discuss a page, ``BOOK_URL`` makes
the addresses in a page's preview whole.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparseattn.errors import UserError

REPOSITORY_VARIABLE = "BOOK_REPOSITORY"
BRANCH_VARIABLE = "BOOK_BRANCH"
URL_VARIABLE = "BOOK_URL"

# Binder and Colab take "owner/name" from a GitHub address; others have no such service.
_REPOSITORY = re.compile(
    r"https://github\.com/(?P<owner>[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?)"
    r"/(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_URL = re.compile(r"https?://[^\s/?#]+(?:/[^\s?#]*)?")


@dataclass(frozen=True)
class Address:
    """Where the book and its source are; empty where unknown.

    Attributes
    ----------
    repository
        ``https://github.com/owner/name``.
    branch
        The one that Binder, Colab and the edit buttons open.
    url
        Of the published book, with a slash at its end.
    """

    repository: str = ""
    branch: str = "main"
    url: str = ""

    def configured(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return Jupyter Book's configuration with what is known filled in."""
        filled = dict(config)
        if self.url:
            filled["html"] = {**filled.get("html", {}), "baseurl": self.url}
        if self.repository:
            filled["repository"] = {"url": self.repository, "branch": self.branch}
            filled["html"] = {
                **filled.get("html", {}),
                "use_repository_button": True,
                "use_issues_button": True,
                "use_edit_page_button": True,
            }
            filled["launch_buttons"] = {
                **filled.get("launch_buttons", {}),
                "notebook_interface": "jupyterlab",
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
            }
        return filled


def address(environment: Mapping[str, str] | None = None) -> Address:
    """Return what the environment says of the book's address.

    Parameters
    ----------
    environment
        Names to values; the process's own without.

    Raises
    ------
    UserError
        When an address or branch is not one, saying what it should look like.
    """
    given = os.environ if environment is None else environment
    repository = given.get(REPOSITORY_VARIABLE, "").strip()
    branch = given.get(BRANCH_VARIABLE, "").strip() or "main"
    url = given.get(URL_VARIABLE, "").strip()
    if repository:
        found = _REPOSITORY.fullmatch(repository)
        if found is None or found["name"] in (".", ".."):
            raise UserError(
                f"{REPOSITORY_VARIABLE} was {repository!r}; expected a repository on GitHub, such "
                "as https://github.com/owner/name."
            )
        repository = f"https://github.com/{found['owner']}/{found['name']}"
    if not _BRANCH.fullmatch(branch):
        raise UserError(
            f"{BRANCH_VARIABLE} was {branch!r}; expected a branch or tag of letters, digits, dots, "
            "hyphens and underscores, such as main."
        )
    if url and not _URL.fullmatch(url):
        raise UserError(
            f"{URL_VARIABLE} was {url!r}; expected where the book is published, such as "
            "https://owner.github.io/name/."
        )
    return Address(repository, branch, f"{url.rstrip('/')}/" if url else "")
