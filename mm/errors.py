"""What tells a user, rather than a developer, that something is wrong: an exception, a warning, a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
