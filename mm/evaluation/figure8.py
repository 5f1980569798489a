"""The paper's Figure 8 out of two runs: the sub-pixel test and the noise test, side by side."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from mm.errors import InputError
from mm.evaluation.figures import draw_figure8
from mm.evaluation.tables import read_csv

PARTS = ("subpixel", "noise")  # the paper's a; b and c
NAME = "figure8.png"
# Settings that its panels must share; methods may be missing in one, but a name means the same weights.
ALIKE = ("photographs", "cutouts", "size", "scenes", "seed", "rounding")


def join(folder: Path) -> list[str]:
    """Draw the figure if both tests have been measured into ``folder``, alike; return its name, or nothing.

    A warning says why there is none although both have been measured.
    """
    tables = [folder / f"{name}.csv" for name in PARTS]
    if not all(path.is_file() for path in tables):
        return []
    try:
        differ = _differ(*(path.with_suffix(".json") for path in tables))
        if differ:
            raise InputError(
                f"{' and '.join(PARTS)} in {folder} were measured with other {differ}; measure both alike"
            )
        rows = [row for path in tables for row in read_csv(path)]
    except InputError as error:
        # No reason to keep back what was just measured.
        (folder / NAME).unlink(missing_ok=True)
        warnings.warn(f"no {NAME}: {error}", stacklevel=2)
        return []
    draw_figure8(folder / NAME, rows)
    return [NAME]


def _differ(one: Path, other: Path) -> str:
    """Return the settings in which two measurements differ, in words; empty if they go together."""
    settings = []
    for path in (one, other):
        try:
            settings.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return "settings"
    differing = [key for key in ALIKE if settings[0].get(key) != settings[1].get(key)]
    weights = [each.get("weights", {}) for each in settings]
    if any(weights[0][name] != weights[1][name] for name in weights[0].keys() & weights[1].keys()):
        differing.append("weights of one name")
    return ", ".join(differing)
