"""``mm live``: a camera, or a file at its own rate, magnified as it comes."""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

from mm.cli.arguments import numbers
from mm.errors import InputError
from mm.files import output

# It looks at no later frame, so it adds no delay.
_FILTER = "butter-causal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--camera", default="0", metavar="N", help="its number; on Windows its name")
    parser.add_argument("--input", type=Path, metavar="FILE", help="play this clip in place of a camera")
    parser.add_argument("--rate", type=float, metavar="HZ", help="frames a second to ask of the camera")
    parser.add_argument("--method", default="linear", help="linear and phase keep up with most cameras")
    parser.add_argument("--factor", type=float, default=10.0, help="gain of the displacement")
    parser.add_argument("--mode", choices=("static", "dynamic", "temporal"), help="as of mm magnify")
    parser.add_argument("--low", type=float, metavar="HZ", help="lower edge of the band")
    parser.add_argument("--high", type=float, metavar="HZ", help="upper edge of the band")
    parser.add_argument("--scale", type=float, default=1.0, help="resize the frames first")
    parser.add_argument(
        "--roi",
        type=numbers("--roi", "x,y,width,height", int),
        metavar="X,Y,W,H",
        help="look at this region alone, px of the source",
    )
    parser.add_argument("--record", type=output, metavar="OUT", help="write what is shown to this video")
    parser.add_argument("--port", type=int, default=8471, help="of the page, on 127.0.0.1")
    parser.add_argument("--no-open", action="store_true", help="leave the browser alone")
    parser.add_argument("--no-page", action="store_true", help="no page; a line every few seconds")


def run(args: argparse.Namespace) -> None:
    """Magnify until the source ends, or the command is interrupted."""
    if not args.no_page and importlib.util.find_spec("nicegui") is None:
        raise InputError(
            "mm live's page needs NiceGUI: pip install 'motion-magnification[studio]', or give --no-page"
        )
    # Here, not above: `mm live --help` needs none of them.
    from mm.cli.studio import check_port
    from mm.magnify.frames import Stream
    from mm.studio.live import Live, camera, played, serve

    if not args.no_page:
        check_port(args.port)
    source = camera(args.camera, args.rate) if args.input is None else played(args.input)
    band = (args.low, args.high) != (None, None)
    stream = Stream(
        source.rate,
        method=args.method,
        factor=args.factor,
        mode=args.mode,
        low=args.low,
        high=args.high,
        filter=_FILTER if band else None,
    )
    live = Live(source, stream, scale=args.scale, roi=args.roi, record=args.record)
    height, width = source.size
    print(
        f"{width}×{height} px, {source.rate:.4g} frames a second; {stream.magnifier.describe()}", flush=True
    )
    if args.no_page:
        live.run(_Lines())
    else:
        print(f"mm live: http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
        serve(live, args.port, show=not args.no_open)
    print(live.status() + (f"; recorded {args.record}" if args.record and live.shown else ""))


class _Lines:
    """Prints a line every five seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 5

    def __call__(self, live: object) -> None:
        if time.monotonic() >= self._next:
            self._next += 5
            print(live.status(), flush=True)  # type: ignore[attr-defined]
