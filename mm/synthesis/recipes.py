"""The five subsets of training scenes, as data (Oh et al. 2018, section 3.3 "Synthetic training dataset")."""

from __future__ import annotations

from dataclasses import dataclass

from mm.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """One kind of scene.

    Attributes:
        name: what the subset is called in configurations, file names and metrics.
        objects: least and greatest number of objects, both included.
        background_moves: whether the background has a motion of its own.
        objects_move: whether the objects have motions of their own.
        background_blur: range of the standard deviation, in output px, of a Gaussian blur of the background.
        background_contrast: range of the contrast that is left to the background, 1 for all of it.
    """

    name: str
    objects: tuple[int, int] = (7, 15)
    background_moves: bool = True
    objects_move: bool = True
    background_blur: tuple[float, float] = (0.0, 0.0)
    background_contrast: tuple[float, float] = (1.0, 1.0)


# The order is public: batches and validation data loaders carry the index.
SUBSETS: tuple[Recipe, ...] = (
    Recipe("sharp"),
    # Low contrast, so that the network learns to move what is hardly there.
    Recipe("blurred", background_blur=(2.0, 8.0), background_contrast=(0.2, 0.7)),
    # One large object: the whole frame moves, as in a hand-held shot.
    Recipe("background", objects=(0, 0), objects_move=False),
    # Only the noise differs between the frames, which teaches the network not to magnify it.
    Recipe("static", background_moves=False, objects_move=False),
    Recipe("objects", background_moves=False),
)


def recipe_index(name: str) -> int:
    """Return the index in :data:`SUBSETS` of the subset called ``name``.

    Raises:
        InputError: if there is none.
    """
    names = [recipe.name for recipe in SUBSETS]
    if name not in names:
        raise InputError(f"no subset is called {name!r} (known: {', '.join(names)})")
    return names.index(name)
