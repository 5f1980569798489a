"""``python -m mm``: the same as the ``mm`` command."""

import sys

from mm.cli import main

sys.exit(main())
