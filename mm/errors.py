"""Errors, warnings and hints for a user rather than a developer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any


class InputError(ValueError):
    """An input that cannot be used: a file, a value, a folder, a device.

    The message is one line that names the thing, its value, the limit with its unit, and the way out. The
    command line prints that line without a traceback and exits with code 2; in Python it is a
    ``ValueError``.
    """


class ClipWarning(UserWarning):
    """Something about the clip itself, whatever is done with it: said once where several methods read it."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'NAME'?"`` with the known name nearest to ``word``, or "" if none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_fields(values: Mapping[str, Any], made: type, where: str) -> Mapping[str, Any]:
    """Return ``values``, all of which are fields of the dataclass ``made``.

    Raises:
        InputError: for a name that is none, with the close match; ``where`` is what lacks it, in words.
    """
    names = [field.name for field in fields(made)]
    for name in values:
        if name not in names:
            raise InputError(
                f"{where} has no {name!r}{did_you_mean(name, names)} (it has {', '.join(names)})"
            )
    return values
