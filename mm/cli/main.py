"""Dispatch to the commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from mm._version import __version__
from mm.errors import InputError, did_you_mean
from mm.runtime import keep_freed_memory

# command -> (module, one line of help). The help stands here so that `mm --help` imports no command.
COMMANDS = {
    "demo": ("mm.cli.demo", "render a clip with known, invisible motion, magnify it and report the error"),
    "magnify": ("mm.cli.magnify", "magnify the motion in a video or a folder of frames"),
    "compare": ("mm.cli.compare", "several methods on one clip, side by side: a video, slices and a page"),
    "slice": ("mm.cli.slice", "draw an x–t or y–t slice of a video"),
    "spectrum": ("mm.cli.spectrum", "find the frequencies at which something in a video moves"),
    "measure": ("mm.cli.measure", "measure displacement and vibrations at places, with uncertainties"),
    "synthesize": ("mm.cli.synthesize", "write training triplets with their exact ground truth"),
    "evaluate": ("mm.cli.evaluate", "the paper's measurements, of one or several methods side by side"),
    "fit": ("mm.cli.fit", "train, from a YAML configuration"),
    "validate": ("mm.cli.fit", "score a checkpoint on the validation set"),
    "test": ("mm.cli.fit", "score a checkpoint on the test set"),
    "benchmark": ("mm.cli.benchmark", "where the time of a training step goes, and samples a second"),
    "sweep": ("mm.cli.sweep", "many trainings, with values drawn from a W&B sweep file, without its server"),
    "export": ("mm.cli.export", "turn a training checkpoint into weights with a card"),
    "methods": ("mm.cli.methods", "list the methods, or the options of one"),
    "presets": ("mm.cli.presets", "list the named sets of parameters, or show one"),
    "plugins": ("mm.cli.plugins", "list plug-ins, where they come from, and what failed to load"),
}
# These hand everything after the command to LightningCLI, which has a parser of its own.
LIGHTNING_COMMANDS = ("fit", "validate", "test")
USER_ERROR = 2


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that say something: "None", "False" and "[]" stand for what the help text tells."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []):
            return action.help
        return super()._get_help_string(action)


class _OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as all others; the options are `--help`'s business."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """As ``parse_args``, but an option that there is none of is named alone, with the close match."""
        try:
            return self.parse_args(words)
        except InputError:
            # The misspelt option is the cause, also where the one that was meant is what is missing.
            for word in words:
                name, known = word.partition("=")[0], self._option_string_actions
                unknown = name.startswith("--") and not any(option.startswith(name) for option in known)
                if unknown and (hint := did_you_mean(name, known)):
                    raise InputError(f"{self.prog} has no option {name!r}{hint}") from None
            raise

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` lists the options")


def _parser() -> _OneLineParser:
    lines = "\n".join(f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items())
    parser = _OneLineParser(
        prog="mm",
        usage="mm COMMAND …",
        description="Video motion magnification: makes motion too small to see visible.",
        epilog=f"commands:\n{lines}\n\n`mm COMMAND --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mm {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for work done in part, 2 for an unusable input.

    Args:
        argv: the arguments after ``mm``; the process's own if None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments or arguments[0].startswith("-"):
            parser = _parser()
            parser.parse(arguments)
            parser.print_help()
            return 0
        name, rest = arguments[0], arguments[1:]
        keep_freed_memory()
        if name not in COMMANDS:
            hint = did_you_mean(name, COMMANDS)
            raise InputError(f"no command is called {name!r}{hint} (commands: {', '.join(COMMANDS)})")
        module = importlib.import_module(COMMANDS[name][0])
        if name in LIGHTNING_COMMANDS:
            return int(module.run(name, rest) or 0)
        command = _OneLineParser(
            prog=f"mm {name}",
            description=COMMANDS[name][1],
            formatter_class=_Formatter,
        )
        module.add_arguments(command)
        return int(module.run(command.parse(rest)) or 0)
    except InputError as error:
        print(f"mm: error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("mm: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
