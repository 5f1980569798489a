"""The help of ``mm fit``: a line an option, from the docstrings of the classes that take them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap

from docstring_parser import parse

HEAD = """usage: mm {command} --config FILE [--config FILE …] [--plugins FILE …] [--KEY VALUE …]

A later --config wins over an earlier one, and the options over both. Every key of a file is an option.

--ckpt_path last|best|FILE   the checkpoint to resume from, or to score
--seed_everything N          seed of the weights [0]
--trainer.KEY VALUE          Lightning's Trainer: devices, precision, max_steps, default_root_dir (the run), …
--print_config               print the whole configuration and stop

mm {command} --config experiments/small.yaml --model.optimizer.lr 3e-4 --trainer.devices 4"""
WIDTH = 100
_MARKUP = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`|`+")


def page(command: str, parts: Mapping[str, type]) -> str:
    """Return the help of a command, where ``parts`` are the classes of the options that begin with a key."""
    lines = [HEAD.format(command=command)]
    for key, part in parts.items():
        lines += ["", f"--{key}.KEY VALUE ({part.__name__}):", *_options(part)]
    return "\n".join(lines)


def _options(part: type) -> Iterator[str]:
    signature = inspect.signature(part).parameters
    for option in parse(part.__doc__ or "").params:
        name, text = option.arg_name, _MARKUP.sub(r"\1", " ".join((option.description or "").split()))
        if name in signature and name != "dirpath":
            default = signature[name].default
            shown = f" [{str(default).lower()}]" if type(default) in (int, float, str, bool) else ""
            # The first clause; without a bracket that the cut leaves open.
            clause = re.sub(r" \([^)]*$", "", re.split(r"[.;:] ", text)[0].rstrip("."))
            yield from wrap(
                f"{name:<22} {clause}{shown}", WIDTH, initial_indent="  ", subsequent_indent=" " * 25
            )
