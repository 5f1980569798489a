"""Programs that measure speed and memory; they print, they assert nothing. Run them as ``python -m``."""
