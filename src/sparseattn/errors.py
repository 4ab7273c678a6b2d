"""Messages for people: what was given, what was expected, what to do."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class UserError(ValueError):
    """A mistake the user can mend; the command line prints the message alone and exits with 2."""


class ExplainedError(RuntimeError):
    """A failure whose message says all; the command line prints it alone and exits with 1."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a hint naming the known name closest to a mistyped one, or an empty string.

    ``" Did you mean 'alpha'?"``, with the leading space.
    """
    close = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def among(name: object, known: Iterable[str]) -> str:
    """Return what follows a name that is none: the nearest of those known, and all of them."""
    known = list(known)
    return f"{nearest(name, known)} Known: {', '.join(known) or 'none'}."


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Build a pydantic model, turning what it refuses into one readable `UserError`.

    One line for each refused field: the value given, what was expected, and the nearest known name
    where the name itself is unknown.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}  # a union of types fails once for each member
        for problem in error.errors():
            problems.setdefault(str(problem["loc"][0]) if problem["loc"] else "", []).append(
                problem
            )
        lines = [_explain(several, name, model) for name, several in problems.items()]
        raise UserError("\n".join(lines)) from None


def _explain(problems: list[Any], name: str, model: type[BaseModel]) -> str:
    words = [
        str(one["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
        for one in problems
    ]
    if problems[0]["type"] == "extra_forbidden":
        return f"Unknown parameter '{name}'.{among(name, sorted(model.model_fields))}"
    if not name:  # raised by a validator over several fields: its own words suffice
        return " ".join(words)
    choices = " ".join(
        str(one["ctx"]["expected"]) for one in problems if one["type"] == "literal_error"
    )
    given = problems[0]["input"]
    hint = nearest(given, choices.replace("'", "").replace(",", " ").split()) if choices else ""
    if any(one["type"] == "string_type" for one in problems) and isinstance(
        given, bool | float | int
    ):
        hint = f' In YAML, quote it: "{str(given).lower()}".'
    hint = hint or _as_number(given, {str(one["type"]) for one in problems})
    return f"Parameter '{name}' was {given!r}; expected {' or '.join(words)}.{hint}"


def _as_number(given: object, kinds: set[str]) -> str:
    """Return a hint how to write the number that a text looks like, where one was wanted."""
    wanted = kinds & {"int_type", "float_type"}
    if not wanted or not isinstance(given, str) or not re.match(r"[-+]?\.?\d", given):
        return ""
    for number in (int, float):
        try:  # 010 and 1_000 are numbers to a reader, and a comma before decimals is one, too
            return f" Write {number(given.strip().replace(',', '.'))}."
        except ValueError:
            continue
    return " Write a plain number, such as 90 or 1e-3."
