"""Docstrings open with a noun phrase or an imperative."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("mm", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
OPENINGS = re.compile(r"(what|where|who|whose|of|that|those|whether|how|when|which|why)\b", re.IGNORECASE)


def refused(source: str) -> list[str]:
    """The docstrings' first lines that open with one of the words."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [text.splitlines()[0] for text in texts if text and OPENINGS.match(text)]


@pytest.mark.parametrize("room", sorted({path.relative_to(ROOT).parts[:2] for path in FILES}), ids="/".join)
def test_docstrings_open_with_a_noun_phrase_or_an_imperative(room: tuple[str, ...]) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parts[:2] == room]
    found = [
        f"{path.relative_to(ROOT)}: {line}" for path in files for line in refused(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


def test_an_opening_is_found() -> None:
    assert refused('"""What this is."""') == ["What this is."]
    assert refused('def f():\n    """Return how far it moves."""') == []
