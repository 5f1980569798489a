"""Commands, options and links of the README and the guides are real."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from mm.cli.fit import build
from mm.cli.main import COMMANDS, LIGHTNING_COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "figures"),
]


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)


def test_set_up_is_two_lines() -> None:
    first = code_blocks(ROOT / "README.md", "sh")[0].strip().splitlines()
    assert len(first) == 2
    assert "mm demo" in first[0]
    assert "pytest" in first[1]


def shell_lines() -> list[str]:
    joined = "\n".join(block for page in PAGES for block in code_blocks(page, "sh")).replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip().startswith("mm ")]
    return list(dict.fromkeys(lines))


@pytest.mark.parametrize("line", shell_lines())
def test_commands_and_their_options_exist(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    assert words[1] in COMMANDS
    if words[1] in LIGHTNING_COMMANDS:
        # Without the command: the options are parsed and the parts are made, but nothing runs.
        options = [str(ROOT / word) if word.startswith("experiments/") else word for word in words[2:]]
        if "--ckpt_path" in options:
            at = options.index("--ckpt_path")
            assert options.pop(at + 1) in ("last", "best")
            options.pop(at)
        monkeypatch.chdir(tmp_path)
        build(options, run=False)
        return
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[words[1]][0]).add_arguments(parser)
    parser.parse_args(words[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_linked_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
