"""YAML as people write it: 1e-3 is a number too."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    pass


# YAML 1.1, which PyYAML reads, wants a dot in every float, and a sign in every exponent.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load(text: str) -> Any:
    """Return the value that a YAML text stands for.

    Raises
    ------
    yaml.YAMLError
        When it is none.
    """
    return yaml.load(text, Loader=_Loader)
