import pytest

from sparseattn.errors import UserError
from sparseattn.report.checklist import ASKED, answered

NAMES = [name for items in ASKED.values() for name in items]


def test_items_are_those_of_the_conference():
    assert [len(items) for items in ASKED.values()] == [7, 5, 6]
    assert len(set(NAMES)) == 18


def test_each_answer_follows_its_question():
    markup = answered({name: f"<b>{name}</b>" for name in NAMES}).markup
    for name in NAMES:
        assert f"<dt id='checklist-{name}'>" in markup
        assert markup.index(f"checklist-{name}'") < markup.index(f"<b>{name}</b>")


def test_no_item_may_stay_open():
    answers = dict.fromkeys(NAMES, "yes")
    with pytest.raises(UserError, match="runtime have no answer"):
        answered({**answers, "runtime": " "})
    with pytest.raises(UserError, match=r"no item runtimes\. Did you mean 'runtime'"):
        answered({**answers, "runtimes": "yes"})
