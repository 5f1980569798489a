"""``mm compare``: several methods on one clip, side by side in a video, in slices and on one page."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from mm.cli.arguments import add_settings, add_work, settings, whole_numbers
from mm.cli.console import rate, warnings_as_lines
from mm.errors import InputError
from mm.files import output_folder
from mm.plugins import load_plugins

FAILED = 1  # the exit code where some methods worked and others did not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_settings(parser)
    line = parser.add_argument_group(
        "the line of the slices", "px of the input; what is not given is where the clip moves most"
    )
    line.add_argument("--line", metavar="X,Y", help="the column X and the row Y")
    line.add_argument("--row", type=int, metavar="Y", help="the row, px from the top: its x–t slice")
    line.add_argument("--column", type=int, metavar="X", help="the column, px from the left: its y–t slice")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--methods",
        default="learned,phase,linear",
        metavar="NAME[=WEIGHTS],…",
        help="side by side: registered methods, and NAME=WEIGHTS for the network with other weights",
    )
    how.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="[METHOD.]NAME=VALUE",
        help="a parameter of one method's own, such as phase.orientations=8, or without METHOD. of every "
        "compared method that has it; can be given several times; `mm methods NAME` lists them",
    )
    add_work(how)
    how.add_argument("--quiet", action="store_true", help="no progress bar and no summary")
    how.add_argument(
        "--out", type=output_folder, default=Path("comparison"), metavar="DIR", help="the folder to write"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, and return the exit code: 0, or 1 if a method did not work.

    Raises:
        InputError: for arguments that cannot be used, or if no method worked.
    """
    from mm.reports.comparison import PAGE, Outcome, candidates, compare

    def done(outcome: Outcome) -> None:
        if not outcome.worked:
            print(f"mm: warning: {outcome.name} did not work: {outcome.says}", file=sys.stderr)
        elif not args.quiet:
            print(
                f"{outcome.name}: {outcome.frames} frames in {outcome.seconds:.1f} s, {rate(outcome.speed)}"
            )

    with warnings_as_lines():
        load_plugins(args.plugins)
        row, column = args.row, args.column
        if args.line is not None:
            if (row, column) != (None, None):
                raise InputError("--line gives the row and the column; leave out --row and --column")
            column, row = whole_numbers("--line", args.line, 2, "x,y")
        found = compare(
            args.input,
            args.out,
            candidates(args.methods, args.option),
            row=row,
            column=column,
            command=_command(args),
            done=done,
            progress=not args.quiet,
            **settings(args),
        )
    if not args.quiet:
        print(f"{found.chosen}\n{args.out}/: {', '.join(found.files)}")
    failed = [each.name for each in found.outcomes if not each.worked]
    if failed:
        print(
            f"mm: error: {len(failed)} of {len(found.outcomes)} methods did not work: {', '.join(failed)}; "
            f"{PAGE} has the reason beside the others' results",
            file=sys.stderr,
        )
    return FAILED if failed else 0


def _command(args: argparse.Namespace) -> str:
    """Return the line that does the same again."""
    words = ["mm", "compare", str(args.input)]
    for name, value in vars(args).items():
        option = f"--{name.replace('_', '-')}"
        if name in ("input", "quiet") or value is None or value is False or value == []:
            continue
        if value is True:
            words.append(option)
        elif name == "option":
            words += [word for text in value for word in (option, text)]
        else:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)
