"""What the README shows is what there is."""

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


def code_blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def test_set_up_is_two_lines() -> None:
    first = code_blocks("sh")[0].strip().splitlines()
    assert len(first) == 2
    assert "mm demo" in first[0]
    assert "pytest" in first[1]


def shell_lines() -> list[str]:
    joined = "\n".join(code_blocks("sh")).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("mm ")]


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


def test_files_that_are_linked_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (ROOT / target).exists(), target
