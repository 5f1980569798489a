"""``mm presets``: named sets of parameters, by what they reveal."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from mm.methods.presets import PRESETS, preset


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
    table = Table("preset", "reveals", "method", "mode", "factor", "band", "filter", expand=True)
    for each in PRESETS.values():
        settings, band = each.settings, "all"
        if settings.low is not None:
            top = f"{settings.high:g} Hz" if settings.high is not None else f"{settings.top:g} × rate"
            band = f"{settings.low:g}–{top}"
        filtered = "" if settings.low is None else settings.filter
        table.add_row(
            each.name, each.reveals, settings.method, settings.mode, f"{settings.factor:g}", band, filtered
        )
    console = Console()
    console.print(table)
    console.print(
        "mm magnify IN OUT --preset NAME begins from one; any option beside it replaces its value.\n"
        "mm presets NAME shows one in full, with where its values come from.",
        markup=False,
        highlight=False,
    )


def _in_full(name: str) -> list[str]:
    chosen = preset(name)
    return [
        f"{chosen.name}: {chosen.reveals}",
        *(f"  {line}" for line in chosen.settings.lines()),
        f"why: {chosen.why}",
        f"change first: {chosen.hint}",
        f"use: mm magnify IN OUT --preset {chosen.name}",
    ]
