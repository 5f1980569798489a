"""``mm studio``: a page in the browser to choose, look, try and render."""

from __future__ import annotations

import argparse
import importlib.util
import socket
from pathlib import Path

from mm.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="DIR", help="folder of the clips"
    )
    parser.add_argument("--port", type=int, default=8470, help="of this machine's own address, 127.0.0.1")
    parser.add_argument("--no-open", action="store_true", help="leave the browser alone")
    parser.add_argument("--max-upload", type=float, default=1024, metavar="MB", help="the largest upload")


def run(args: argparse.Namespace) -> None:
    """Serve the page until the command is interrupted."""
    if not args.folder.is_dir():
        raise InputError(f"there is no folder {args.folder}; name the one that holds the clips")
    if importlib.util.find_spec("nicegui") is None:
        raise InputError(
            "mm studio needs NiceGUI; install it with: pip install 'motion-magnification[studio]'"
        )
    check_port(args.port)
    from mm.studio.page import serve

    print(f"mm studio: http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    serve(args.folder, args.port, show=not args.no_open, most_bytes=round(args.max_upload * 1e6))


def check_port(port: int) -> None:
    """Raise InputError unless a port of the loopback address is free."""
    if not 0 < port < 65536:
        raise InputError(f"--port must be from 1 to 65535, got {port}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); give another with --port"
            ) from error
