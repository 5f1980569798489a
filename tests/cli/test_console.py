"""What the commands print."""

from __future__ import annotations

import warnings

import pytest

from mm.cli.console import rate, warnings_as_lines
from mm.errors import ClipWarning


@pytest.mark.parametrize(
    ("speed", "said"), [(0.0712, "0.071"), (3.4, "3.4"), (9.96, "10"), (60.4, "60"), (340.0, "340")]
)
def test_a_speed_is_in_plain_digits(speed: float, said: str) -> None:
    assert rate(speed) == f"{said} frames a second"


def test_what_is_true_of_a_clip_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        for message in ("a.mp4: interlaced", "b.mp4: interlaced", "a.mp4: interlaced"):
            warnings.warn(message, ClipWarning, stacklevel=1)
        for _ in range(2):
            warnings.warn("slow", UserWarning, stacklevel=1)
    said = capsys.readouterr().err.splitlines()
    expected = ("a.mp4: interlaced", "b.mp4: interlaced", "slow", "slow")
    assert said == [f"mm: warning: {text}" for text in expected]
