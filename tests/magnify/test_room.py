"""``mm.magnify`` is called as a function, before and after modules of the room are imported."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import mm
from mm.magnify.clip import magnify

PROGRAM = """
import mm
def call():
    try:
        mm.magnify("none.mp4", "out.mp4")
    except mm.InputError as error:
        print(error)
call()
import mm.magnify.pipeline as pipeline
pipeline.Pipeline
call()
"""


def test_it_is_called_after_any_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.count("none.mp4") == 2


def test_it_looks_like_the_function() -> None:
    assert callable(mm.magnify)
    assert inspect.signature(mm.magnify) == inspect.signature(magnify)
    assert pickle.loads(pickle.dumps(mm.magnify)) is mm.magnify
