"""``mm methods``: the magnification methods, and the options that one of them has."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mm.cli.console import warnings_as_lines
from mm.methods.parameters import options_of, summary_of
from mm.plugins import load_plugins
from mm.registry import methods


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="list the options of this one")
    parser.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )


def run(args: argparse.Namespace) -> None:
    """Print all methods in a table, or the options of one of them with types and defaults.

    Raises:
        InputError: for a name that is not a method's, or a plug-in's path that does not exist.
    """
    with warnings_as_lines():
        load_plugins(args.plugins)
    console = Console()
    if args.name is None:
        table = Table(Column("method", no_wrap=True), "what it does", "options", expand=True)
        for name in sorted(methods):
            table.add_row(*map(escape, (name, summary_of(name), ", ".join(options_of(name)))))
        _print(console, table, "mm methods NAME explains a method's options.")
        return
    options = options_of(args.name)
    console.print(f"{args.name}: {summary_of(args.name)}", markup=False, highlight=False)
    if not options:
        console.print("It has no options of its own.")
        return
    table = Table(Column("option", no_wrap=True), "type", "default", "what it is", expand=True)
    for option in options.values():
        texts = (option.name, option.type_name, option.default_text, option.help)
        # A docstring may hold square brackets, which are no markup.
        table.add_row(*map(escape, texts))
    _print(console, table, f"mm magnify IN OUT --method {args.name} --option NAME=VALUE sets one.")


def _print(console: Console, table: Table, last: str) -> None:
    console.print(table)
    console.print(last, markup=False, highlight=False)
