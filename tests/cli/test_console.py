"""What the commands print."""

from __future__ import annotations

import pytest

from mm.cli.console import rate


@pytest.mark.parametrize(
    ("speed", "said"), [(0.0712, "0.071"), (3.4, "3.4"), (9.96, "10"), (60.4, "60"), (340.0, "340")]
)
def test_a_speed_is_in_plain_digits(speed: float, said: str) -> None:
    assert rate(speed) == f"{said} frames a second"
