"""A file's way through a method: its frames are read, framed, pushed, watched and written.

Public: the package itself, called as its function is: ``mm.magnify("in.mp4", "out.mp4", factor=20)``.
:func:`mm.magnify.clip.magnify` is that function.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from mm.magnify.clip import magnify

__all__ = ["magnify"]


class _Room(ModuleType):
    """A package that is called: importing one of its modules makes ``mm.magnify`` mean the package."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        return magnify(*args, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)


# inspect.signature, and so an editor, reads the function's own parameters here.
__wrapped__ = magnify
sys.modules[__name__].__class__ = _Room
