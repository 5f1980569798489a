"""``mm presets`` and ``mm methods``: what a user can choose, as it is printed."""

from __future__ import annotations

import pytest

from mm.cli import main
from mm.magnify.presets import PRESETS
from mm.methods.parameters import options_of
from mm.registry import methods


def test_all_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in PRESETS)
    assert "mm magnify IN OUT --preset NAME" in out
    rows = {
        cells[1].strip(): cells[-2].strip() for line in out.splitlines() if len(cells := line.split("│")) > 2
    }
    assert (rows["breathing"], rows["pulse"], rows["impact"]) == ("≥ 5 s", "≥ 1.2 s", "any")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_one_preset(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", name]) == 0
    out = capsys.readouterr().out
    chosen = PRESETS[name]
    for text in (chosen.reveals, chosen.why, chosen.hint, *chosen.settings.lines(), f"--preset {name}"):
        assert text in out


def test_no_such_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "breathin"]) == 2
    assert "did you mean 'breathing'?" in capsys.readouterr().err


def test_all_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in methods)


def test_one_method(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["methods", "linear"]) == 0
    out = capsys.readouterr().out
    for option in options_of("linear").values():
        row = next(line for line in out.splitlines() if f" {option.name} " in line)
        assert option.type_name in row
        assert option.default_text in row
        assert option.help.split(".")[0][:20] in row
    assert main(["methods", "learned"]) == 0
    assert " direction " in capsys.readouterr().out


def test_no_such_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "fase"]) == 2
    assert "did you mean 'phase'?" in capsys.readouterr().err
