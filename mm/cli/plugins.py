"""``mm plugins``: what can be named in a configuration, where it comes from, and which plug-ins failed."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import warnings
from typing import Any

from rich.console import Console
from rich.table import Table

from mm import plugins

# Importing these enters what is built in.
_ROOMS = ("mm.synthesis", "mm.data.sources", "mm.data.procedural", "mm.methods")
_PIPED_WIDTH = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--plugins",
        nargs="+",
        default=[],
        metavar="PATH",
        help="a .py file, or a folder of them, to load as well",
    )


def run(args: argparse.Namespace) -> int:
    """Print everything that is registered, and the plug-ins that failed.

    Raises:
        InputError: if a path does not exist.
    """
    for room in _ROOMS:
        importlib.import_module(room)
    with warnings.catch_warnings():
        # Failures are reported below, with their reasons.
        warnings.simplefilter("ignore")
        found = plugins.load_plugins(args.plugins)
    origins = {entry: plugin.origin for plugin in found for entry in plugin.registered}
    # In a file or a pipe no path is broken: it is there to be searched and copied.
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    for registry in plugins.REGISTRIES:
        table = Table(f"{registry.kind}s", expand=console.is_terminal)
        # Long paths are wrapped, not cut.
        table.add_column("class_path", overflow="fold")
        table.add_column("from", overflow="fold")
        for name in sorted(registry):
            entry = registry.get(name)
            table.add_row(name, _class_path(entry), origins.get((registry.kind, name)) or _origin(entry))
        console.print(table)
    for plugin in found:
        if plugin.error is None and not plugin.registered:
            console.print(f"{plugin.origin}: loaded, registers nothing", style="yellow", markup=False)
    failed = [plugin for plugin in found if plugin.error is not None]
    if failed:
        problems = Table("plug-in", "why it failed", title="Failed to load", title_style="red")
        for plugin in failed:
            problems.add_row(plugin.origin, plugin.error)
        console.print(problems)
    return 0


def _class_path(entry: Any) -> str:
    return f"{getattr(entry, '__module__', '?')}.{getattr(entry, '__qualname__', type(entry).__qualname__)}"


def _origin(entry: Any) -> str:
    """Return where an entry that no plug-in made comes from."""
    if str(getattr(entry, "__module__", "")).startswith("mm."):
        return "built in"
    try:
        return inspect.getfile(entry)
    except TypeError:
        return "unknown"
