import pytest

from sparseattn.errors import UserError
from sparseattn.report.address import Address, address

CONFIG = {"html": {"favicon": "f"}, "launch_buttons": {"thebe": False}, "title": "t"}


def test_without_an_address_nothing_is_added():
    assert address({}) == Address()
    assert Address().configured(CONFIG) == CONFIG


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_repository_of_any_spelling(end):
    given = address({"BOOK_REPOSITORY": f"https://github.com/Owner-1/my.name_2{end}"})
    assert given == Address("https://github.com/Owner-1/my.name_2", "main")
    config = given.configured(CONFIG)
    assert config["repository"] == {"url": given.repository, "branch": "main"}
    assert config["html"]["favicon"] == "f"
    assert config["html"]["use_edit_page_button"]
    assert config["launch_buttons"]["thebe"] is False
    assert config["launch_buttons"]["binderhub_url"]
    assert "repository" not in CONFIG  # what was given stays


def test_branch_and_url():
    names = {"BOOK_BRANCH": "v1.0", "BOOK_URL": "https://owner.github.io/name"}
    given = address(names)
    assert given == Address("", "v1.0", "https://owner.github.io/name/")
    assert given.configured(CONFIG)["html"]["baseurl"] == "https://owner.github.io/name/"
    assert "repository" not in given.configured(CONFIG)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("BOOK_REPOSITORY", "github.com/owner/name", "https://github.com/owner/name"),
        ("BOOK_REPOSITORY", "https://github.com/owner", "https://github.com/owner/name"),
        ("BOOK_REPOSITORY", "https://example.org/owner/name", "on GitHub"),
        ("BOOK_REPOSITORY", "https://github.com/owner/name/tree/main", "on GitHub"),
        ("BOOK_REPOSITORY", 'https://github.com/owner/"><script>', "on GitHub"),
        ("BOOK_BRANCH", "feature/x", "such as main"),
        ("BOOK_URL", "owner.github.io", "https://owner.github.io/name/"),
    ],
)
def test_what_is_none_is_refused_by_name(name, value, hint):
    with pytest.raises(UserError, match=name) as refused:
        address({name: value})
    assert value in str(refused.value)
    assert hint in str(refused.value)
