"""What tells a user, rather than a developer, that something is wrong: one exception and one warning."""


class InputError(ValueError):
    """An input that cannot be used: a file, a value, a folder, a device.

    The message is one line that names the thing, its value, the limit with its unit, and the way out. The
    command line prints that line without a traceback and exits with code 2; in Python it is a
    ``ValueError``.
    """


class ClipWarning(UserWarning):
    """Something about the clip itself, whatever is done with it: said once where several methods read it."""
