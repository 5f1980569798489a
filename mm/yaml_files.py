"""YAML files that a user writes: read whole, or refused in a line that names the file and the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from mm.errors import InputError


def read_mapping(path: Path, kind: str, examples: str, expected: str) -> dict[Any, Any]:
    """Return what a file of names and their values holds.

    Args:
        path: the file.
        kind: what it is to the user, as "sweep file".
        examples: where such files are.
        expected: what it must say.

    Raises:
        InputError: if there is no such file, if it cannot be read or is not YAML, or if it holds something
            else than names and values.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {kind} {str(path)!r}; there are some in {examples}") from None
    except OSError as error:
        raise InputError(f"cannot read the {kind} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = "" if where is None else f", line {where.line + 1}"
        what = getattr(error, "problem", None) or "it is no text in UTF-8"
        raise InputError(f"the {kind} {path} is not YAML{line}: {what}") from error
    if not isinstance(content, dict):
        raise InputError(f"the {kind} {path} holds no names with values: it must say {expected}")
    return content
