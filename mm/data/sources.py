"""Image sources: their contract, folders of images, and the ways to name one in a configuration."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mm.data.decoding import image_files, read_cutout, read_photograph
from mm.errors import InputError, did_you_mean
from mm.registry import image_sources


class ImageSource(ABC):
    """A numbered collection of photographs or of cut-outs.

    A subclass is a plug-in; entered in the registry ``mm.registry.image_sources`` it can also be named in a
    configuration. It must survive pickling (workers may be started afresh), so it holds paths, not open
    files.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def load(self, index: int) -> np.ndarray:
        """Return image ``index``, always the same one.

        Returns:
            uint8 RGB (H, W, 3) of a photograph, or uint8 straight-alpha RGBA (H, W, 4) of a cut-out.

        Raises:
            mm.data.UnreadableImage: if this image is damaged; it is then skipped.
        """

    @abstractmethod
    def identity(self, index: int) -> str:
        """Return a lasting name of the *photograph* that image ``index`` comes from.

        Images of one photograph never fall into different splits, and the name alone decides the split, so it
        must not depend on where the data set lies or on which other images there are.
        """

    def file(self, index: int) -> Path | None:
        """Return the file that image ``index`` is read from, or None if it is none of its own.

        By it an image that measurements are made on is known and left out of training.
        """
        return None


class _Folder(ImageSource):
    """Image files under some folders."""

    def __init__(
        self,
        folders: Sequence[str | Path],
        identify_by: Literal["name", "content"] = "name",
        kind: str = "image",
    ) -> None:
        if isinstance(folders, (str, Path)):
            folders = [folders]
        self.identify_by = identify_by
        self.files: list[Path] = []
        self._names: list[str] = []
        for folder in map(Path, folders):
            if not folder.is_dir():
                what = "is a file, not a folder" if folder.exists() else "does not exist"
                raise InputError(
                    f"the folder of {kind}s {str(folder)!r} {what}; name a folder with images in it"
                )
            files = image_files(folder)
            if not files:
                raise InputError(f"the folder of {kind}s {str(folder)!r} has no image in it, at any depth")
            self.files += files
            self._names += [file.relative_to(folder).with_suffix("").as_posix() for file in files]
        if not self.files:
            raise InputError(f"no folder of {kind}s is given; name at least one")

    def __len__(self) -> int:
        return len(self.files)

    def identity(self, index: int) -> str:
        """Return the path below its folder without the extension, or a digest of the file's bytes."""
        if self.identify_by == "content":
            return hashlib.blake2b(self.files[index].read_bytes(), digest_size=16).hexdigest()
        return self._names[index]

    def file(self, index: int) -> Path | None:
        """Return the image's file."""
        return self.files[index]


@image_sources.register("photographs")
class FolderOfPhotographs(_Folder):
    """Photographs in one or several folders, at any depth.

    Args:
        folders: where they are.
        shortest_side: larger photographs are shrunk to this many px on their shorter side when they are read.
        identify_by: what decides whether two files are the same photograph: their names below the folder, or
            their bytes (reads every file once at the start).

    Raises:
        InputError: if a folder is missing or has no image in it.
    """

    def __init__(
        self,
        folders: list[str],
        shortest_side: int | None = 1080,
        identify_by: Literal["name", "content"] = "name",
    ) -> None:
        super().__init__(folders, identify_by, "photograph")
        self.shortest_side = shortest_side

    def load(self, index: int) -> np.ndarray:
        """Return a photograph, uint8 RGB (H, W, 3)."""
        return read_photograph(self.files[index], self.shortest_side)


@image_sources.register("cutouts")
class FolderOfCutouts(_Folder):
    """Objects cut out of their photographs (RGBA: PNG or WebP) in one or several folders, at any depth.

    Args:
        folders: where they are.
        identify_by: what decides whether two files are the same object: their names below the folder, or
            their bytes (reads every file once at the start).

    Raises:
        InputError: if a folder is missing or has no image in it.
    """

    def __init__(self, folders: list[str], identify_by: Literal["name", "content"] = "name") -> None:
        super().__init__(folders, identify_by, "cut-out")

    def load(self, index: int) -> np.ndarray:
        """Return a cut-out, uint8 straight-alpha RGBA (H, W, 4), cropped to what is visible."""
        return read_cutout(self.files[index])


@dataclass
class NamedSource:
    """An image source by its name in the registry.

    Attributes:
        name: as ``mm plugins`` lists it.
        arguments: of its constructor.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


class JoinedSources(ImageSource):
    """The images of several sources, one source after the other.

    Args:
        sources: at least one; all of photographs or all of cut-outs.

    Raises:
        InputError: if there is none.
    """

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        if not sources:
            raise InputError("no image source is given; name at least one")
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def load(self, index: int) -> np.ndarray:
        """Return an image, as its source does."""
        source, at = self._find(index)
        return source.load(at)

    def identity(self, index: int) -> str:
        """Return the identity that the image's source gives it."""
        source, at = self._find(index)
        return source.identity(at)

    def file(self, index: int) -> Path | None:
        """Return the image's file, or None where its source has no files."""
        source, at = self._find(index)
        return source.file(at)

    def _find(self, index: int) -> tuple[ImageSource, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        return self.sources[number], index - (self._ends[number - 1] if number else 0)


# As a configuration gives it: an object (class_path), a name with arguments, a name or folder, or several
# names and folders.
SourceLike = ImageSource | NamedSource | Sequence[NamedSource | str] | str


def build_source(
    given: SourceLike, folders_are: type[FolderOfPhotographs] | type[FolderOfCutouts]
) -> ImageSource:
    """Return the source that ``given`` describes.

    Args:
        given: a source; its name; its name and arguments; a folder; or a list of names, with arguments or
            without, and folders. A string is a folder where there is one, else a name.
        folders_are: the class that reads folders: :class:`FolderOfPhotographs` or :class:`FolderOfCutouts`.

    Raises:
        InputError: if there is no such source or folder, or the arguments do not fit.
    """
    if isinstance(given, ImageSource):
        return given
    if isinstance(given, NamedSource):
        try:
            source = image_sources.get(given.name)(**given.arguments)
        except TypeError as error:
            fault = (
                "does not take these arguments"
                if given.arguments
                else "cannot do without arguments; a configuration can give them (name: and arguments:)"
            )
            raise InputError(f"the image source {given.name!r} {fault}: {error}") from error
        return source
    several = [given] if isinstance(given, str) else given
    folders = [one for one in several if isinstance(one, str) and not _names_a_source(one)]
    named = [
        build_source(NamedSource(one) if isinstance(one, str) else one, folders_are)
        for one in several
        if one not in folders
    ]
    if not named:
        return folders_are(folders)
    sources = [folders_are(folders), *named] if folders else named
    return sources[0] if len(sources) == 1 else JoinedSources(sources)


def _names_a_source(word: str) -> bool:
    """Say whether ``word`` is a source's name rather than a folder's.

    Raises:
        InputError: if it is neither.
    """
    if Path(word).exists():
        return False
    # The readers of folders are registered too, for configurations that give them arguments.
    readers = (FolderOfPhotographs, FolderOfCutouts)
    known = [name for name in image_sources if image_sources.get(name) not in readers]
    if word not in known:
        raise InputError(
            f"{word!r} is neither a folder nor the name of an image source{did_you_mean(word, known)} "
            f"(known: {', '.join(known)})"
        )
    return True
