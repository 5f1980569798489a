"""The command line: ``mm COMMAND …``, one file a command.

A command's module has ``add_arguments(parser)`` and ``run(args) -> int | None``; it is imported only when it
is the one asked for, so that ``mm magnify`` never pays for the training side.
"""

from mm.cli.main import main

__all__ = ["main"]
