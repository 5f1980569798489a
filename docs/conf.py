"""Configuration of the documentation: ``sphinx-build -W docs docs/_build``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import jupytext
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from mm._version import __version__  # noqa: E402

project = "mm"
author = "the mm developers"
release = version = __version__
html_title = f"mm {__version__}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_ambiguous"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Files of the repository that are pages here.
PAGES = {
    "mm/weights/README.md": "weights.md",
    "benchmarks/README.md": "benchmarks.md",
    "notebooks/README.md": "figures/index.md",
    "plugins/README.md": "guides/plugins.md",
    "experiments/cluster/README.md": "guides/cluster.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def _convert_notebooks() -> None:
    """Write each notebook as a page, unexecuted: together they take minutes."""
    folder = HERE / "figures"
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not text.startswith("# %% [markdown]"):
            continue
        page = jupytext.writes(jupytext.reads(text, "py:percent"), "md")
        # Without the front matter that would make a notebook of it.
        page = re.sub(r"\A---\n.*?\n---\n+", "", page, flags=re.S)
        target = folder / f"{path.stem}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != page:
            target.write_text(page, encoding="utf-8")


def _resolve(text: str, folder: Path, page: Path) -> str:
    """Point links, relative to a folder of the repository, to pages; name the files that are no page."""
    pages = dict(PAGES)
    for figure in (HERE / "figures").glob("*.md"):
        pages.setdefault(f"notebooks/{figure.stem}.py", f"figures/{figure.name}")

    def resolve(match: re.Match[str]) -> str:
        label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        path, _, anchor = target.partition("#")
        file = folder.joinpath(path).resolve()
        named = file.relative_to(ROOT).as_posix()
        if file.is_relative_to(HERE):
            named = file.relative_to(HERE).as_posix()
        elif named not in pages:
            return label if label.strip("`") == named else f"{label} (`{named}`)"
        to = os.path.relpath(pages.get(named, named), page.parent)
        return f"[{label}]({to}{'#' + anchor if anchor else ''})"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", resolve, text)


def _of_page(app: Sphinx, name: str, text: list[str]) -> None:
    page = Path(name)
    text[0] = _resolve(text[0], (HERE / page).parent, page)


def _of_included(app: Sphinx, source: Path, parent: str, text: list[str]) -> None:
    text[0] = _resolve(text[0], (HERE / source).parent, Path(app.env.docname))


_convert_notebooks()


def setup(app: Sphinx) -> None:
    """Resolve the links of pages and of the files that they include."""
    app.connect("source-read", _of_page)
    app.connect("include-read", _of_included)
