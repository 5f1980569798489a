"""``mm presets``: named sets of parameters, by what they reveal."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Column, Table

from mm.magnify.presets import PRESETS, preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="show this one, and where its values come from"
    )


def run(args: argparse.Namespace) -> None:
    """Print all presets in a table, or one of them in full.

    Raises:
        InputError: for a name that is not a preset's.
    """
    if args.name is not None:
        print("\n".join(_in_full(args.name)))
        return
    # What is typed is never cut off; a narrow terminal breaks what is revealed into lines.
    narrow = [Column(name, no_wrap=True) for name in ("preset", "method", "factor", "band", "clip")]
    table = Table(narrow[0], "reveals", *narrow[1:], expand=True)
    for each in PRESETS.values():
        settings, band = each.settings, "all"
        if settings.low is not None:
            top = f"{settings.high:g} Hz" if settings.high is not None else f"{settings.top:g} × rate"
            band = f"{settings.low:g}–{top}"
        least = settings.least_seconds
        clip = "any" if least is None else f"≥ {least:.2g} s"
        table.add_row(each.name, each.reveals, settings.method, f"{settings.factor:g}", band, clip)
    console = Console()
    console.print(table)
    console.print(
        "mm magnify IN OUT --preset NAME begins from one; any option beside it replaces its value.\n"
        "clip: how long it must be in time of capture; several times that shows it better.\n"
        "mm presets NAME shows one in full, with where its values come from.",
        markup=False,
        highlight=False,
    )


def _in_full(name: str) -> list[str]:
    chosen = preset(name)
    least = chosen.settings.least_seconds
    needs = [] if least is None else [f"needs: {least:.2g} s of clip or more, better several times that"]
    return [
        f"{chosen.name}: {chosen.reveals}",
        *(f"  {line}" for line in chosen.settings.lines()),
        *needs,
        f"why: {chosen.why}",
        f"change first: {chosen.hint}",
        f"use: mm magnify IN OUT --preset {chosen.name}",
    ]
