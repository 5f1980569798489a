"""Dispatch to the commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import importlib.metadata
import os
import re
import select
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from mm._version import __version__
from mm.errors import InputError, did_you_mean
from mm.files import check_free, output, output_folder

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
    "studio": ("mm.cli.studio", "a page in the browser: choose, look at what moves, try, compare, render"),
    "live": ("mm.cli.live", "a camera, or a clip at its own rate, magnified as it comes"),
    "export": ("mm.cli.export", "turn a training checkpoint into weights with a card"),
    "methods": ("mm.cli.methods", "list the methods, or the options of one"),
    "presets": ("mm.cli.presets", "list the named sets of parameters, or show one"),
    "plugins": ("mm.cli.plugins", "list plug-ins, where they come from, and what failed to load"),
}
# These hand everything after the command to LightningCLI, which has a parser of its own.
LIGHTNING_COMMANDS = ("fit", "validate", "test")
USER_ERROR = 2
# Set to anything, it shows the traceback of an error.
TRACEBACK_VARIABLE = "MM_TRACEBACK"
SIGPIPE = 13  # Windows has no name for it
_ERROR_LETTERS, _CONTEXT_LETTERS = 400, 120


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
        several = any(action.nargs == "+" and not action.option_strings for action in self._actions)
        try:
            # Options may stand between several inputs and the output.
            return self.parse_intermixed_args(words) if several else self.parse_args(words)
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

    Whatever fails is one line on the standard error; ``MM_TRACEBACK=1`` shows the traceback too. A signal
    that ends the command gives 128 plus its number.

    Args:
        argv: the arguments after ``mm``; the process's own if None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    _name_clash()
    code = USER_ERROR
    try:
        with signals_end():
            try:
                code = _dispatch(arguments)
            finally:
                sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
        _say("interrupted")
    except SystemExit as end:
        # Lightning ends so when it was interrupted, and rich where nobody reads what it prints.
        if not isinstance(end.__context__, KeyboardInterrupt | BrokenPipeError):
            raise
        code = 128 + (signal.SIGINT if isinstance(end.__context__, KeyboardInterrupt) else SIGPIPE)
    except Stopped as stop:
        code = 128 + stop.number
        _say(f"ended by {signal.Signals(stop.number).name}")
    # Also those of PyAV, of libraries and of plug-ins, which may raise anything.
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exc()
        if not _stdout_is_lost():
            _say(f"error: {in_one_line(error, arguments)}")
        elif isinstance(error, BrokenPipeError):
            # Whoever read the output has seen enough.
            code = 128 + SIGPIPE
        else:
            _say(f"error: cannot write to the standard output: {getattr(error, 'strerror', error)}")
    return code


def _name_clash() -> None:
    """Name another product that is installed under the same import name: its files replace some of these."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        other = importlib.metadata.distribution("mm")
        # The project's own former name has this command as its entry point.
        if all(entry.value != "mm.cli:main" for entry in other.entry_points):
            _say(
                f"the distribution mm {other.version} provides the import name mm too; `pip uninstall mm`, "
                "then reinstall motion-magnification"
            )


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        parser = _parser()
        parser.parse(arguments)
        parser.print_help()
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        raise InputError(f"no command is called {name!r}{hint} (commands: {', '.join(COMMANDS)})")
    # Here, not above: it takes torch, and `mm --help` takes none.
    from mm.runtime import keep_freed_memory

    keep_freed_memory()
    module = importlib.import_module(COMMANDS[name][0])
    if name in LIGHTNING_COMMANDS:
        return int(module.run(name, rest) or 0)
    command = _OneLineParser(
        prog=f"mm {name}",
        description=COMMANDS[name][1],
        formatter_class=_Formatter,
    )
    module.add_arguments(command)
    outputs = [action.dest for action in command._actions if action.type in (output, output_folder)]
    if outputs:
        command.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    args = command.parse(rest)
    if outputs:
        _check_outputs(args, outputs)
    return int(module.run(args) or 0)


def _check_outputs(args: argparse.Namespace, outputs: list[str]) -> None:
    values = {name: value if isinstance(value, list) else [value] for name, value in vars(args).items()}
    paths = {
        name: [Path(each) for each in value if isinstance(each, str | Path)] for name, value in values.items()
    }
    written = [path for name in outputs for path in paths.pop(name)]
    check_free(written, [path for read in paths.values() for path in read], overwrite=args.overwrite)


# -- what fails --------------------------------------------------------------------------------------------


class Stopped(BaseException):
    """A signal that ends the command: drafts are removed on its way out, as for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP clean up as Ctrl-C does, unless they are ignored or have a handler."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # A second one must not end the cleaning up.
        raise Stopped(number)

    main_thread = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP") if main_thread else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def in_one_line(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """Return what an error says, in one line with the thing, its value and the way out.

    Args:
        error: any; an :class:`InputError` says it all itself.
        arguments: the command's, which are the context of an error that is not ours.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    worker = "Original Traceback" in str(error)
    # The last line of a worker's traceback is the error itself.
    first = (lines[-1] if worker else lines[0]) if lines else ""
    ours, mark, said = first.partition("mm.errors.InputError: ")
    if isinstance(error, InputError) and not worker:
        return _printable(str(error))
    if worker and mark and not ours:
        return _printable(said)
    way_out = f"; {TRACEBACK_VARIABLE}=1 shows where it arose"
    if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", first, re.IGNORECASE):
        text, way_out = "out of memory", "; take smaller or fewer frames (--scale, --roi, --size, --batch 1)"
    elif isinstance(error, RecursionError):
        text, way_out = "something in the input is nested too deeply", "; name a file that mm or mm fit wrote"
    elif isinstance(error, OSError) and error.strerror:
        named = "an output, or what is printed: " if error.errno == errno.ENOSPC else ""
        named = named if error.filename is None else f"{str(error.filename)[:_CONTEXT_LETTERS]}: "
        way_out = "; give a shorter name" if error.errno == errno.ENAMETOOLONG else way_out
        text = f"{named}{error.strerror.lower()}"
    else:
        text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").startswith("mm.plugins."):
            text = f"the plug-in {frame.f_code.co_filename}, line {line}: {text}"
            break
    context = shlex.join(["mm", *arguments])
    if len(context) > _CONTEXT_LETTERS:
        context = context[:_CONTEXT_LETTERS] + "…"
    return _printable(f"{text[:_ERROR_LETTERS]} (in {context}){way_out}")


def _printable(text: str) -> str:
    """Return a text with line breaks and control characters, as a file's name may have them, escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"mm: {text}", file=sys.stderr, flush=True)


def _prepare_streams() -> None:
    """Make streams that are closed ones to nowhere, and print what an encoding lacks as question marks."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _stdout_is_lost() -> bool:
    """Say whether the standard output can take no more, and send what is left of it nowhere."""
    lost = [stream for stream in (sys.stdout, sys.stderr) if _is_lost(stream)]
    for stream in lost:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(lost)


def _is_lost(stream: TextIO) -> bool:
    with contextlib.suppress(OSError, ValueError):
        # Without a buffer there is nothing left whose writing could fail again.
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                return True
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
