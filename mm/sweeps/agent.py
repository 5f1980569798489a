"""The command line of a trial, as W&B's agent builds it from a sweep file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from mm.errors import InputError
from mm.sweeps.definition import Sweep

ARGUMENTS = "${args}"
_INTERPRETER = re.compile(r"python[\d.]*")


def flags(values: Mapping[str, Any]) -> list[str]:
    """Return what ``${args}`` stands for: ``--name=value`` each, the value as Python writes it."""
    return [f"--{name}={value}" for name, value in values.items()]


def fit_options(sweep: Sweep, values: Mapping[str, Any]) -> list[str]:
    """Return what follows ``mm fit`` in the agent's command line.

    What stands before it in the file's command (``${env}``, the interpreter, a shell that chooses a folder)
    is the agent's way to start it, and left out.

    Raises:
        InputError: if the file's command does not run ``mm fit``, or leaves the values out.
    """
    words = list(sweep.command)
    start = _start(words)
    if start is None:
        raise InputError(f"{sweep.path}: the command does not run mm fit, the only one a sweep can be of")
    options = words[start + 2 :]
    if ARGUMENTS not in options:
        raise InputError(f"{sweep.path}: the command has no {ARGUMENTS} after fit: the values would be lost")
    # In the place of the macro: what the file says after it wins over the values, as on the agent.
    at = options.index(ARGUMENTS)
    options[at : at + 1] = flags(values)
    other = [word for word in options if word.startswith("${") and word.endswith("}")]
    if other:
        raise InputError(f"{sweep.path}: {other[0]} in the command is not known here; use {ARGUMENTS}")
    return options


def started_by(sweep: Sweep) -> str:
    """Return what starts ``mm fit`` in the file's command, beyond an interpreter; "" if nothing does."""
    words = list(sweep.command)
    before = [word for word in words[: _start(words)] if not word.startswith("${")]
    # From the end, an interpreter and its options: "python", "/usr/bin/python3.12 -u -m".
    options = list(takewhile(lambda word: word.startswith("-"), reversed(before)))
    rest = before[: len(before) - len(options)]
    if rest and _INTERPRETER.fullmatch(Path(rest[-1]).name):
        return shlex.join(rest[:-1])
    # "-m" alone is left of "${interpreter} -m".
    return shlex.join(before[:-1] if options == ["-m"] else before)


def _start(words: list[str]) -> int | None:
    """Return where ``mm fit`` begins; None if nowhere."""
    found = (at for at, word in enumerate(words[:-1]) if Path(word).name == "mm" and words[at + 1] == "fit")
    return next(found, None)
