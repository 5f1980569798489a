"""Warnings as lines on the terminal, without Python's file names and code."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from mm.errors import ClipWarning


def rate(frames_a_second: float) -> str:
    """Return a speed in words: three hundred and forty is 340, and not 3.4e+02."""
    digits = f"{frames_a_second:.0f}" if frames_a_second >= 10 else f"{frames_a_second:.2g}"
    return f"{digits} frames a second"


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Within this context a ``UserWarning`` is one line, ``mm: warning: …``; others are left as they are.

    A clip may be opened several times: each thing about it is said once.
    """
    with warnings.catch_warnings():
        usual, said = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, ClipWarning) and str(message) in said:
                return
            said.add(str(message))
            if issubclass(category, UserWarning):
                print(f"mm: warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *rest, **named)

        warnings.showwarning = show
        # Every one of them counts, also where two clips of one command have the same to say.
        warnings.simplefilter("always", UserWarning)
        yield
