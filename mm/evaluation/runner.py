"""The one loop of the measurements: scenes × renderers × levels × candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import torch

from mm.errors import InputError
from mm.evaluation.candidates import Candidate
from mm.evaluation.protocol import Rounding
from mm.evaluation.renderers import Stage, stage
from mm.evaluation.scene_spec import SceneSpec
from mm.evaluation.tables import Table

LevelT = TypeVar("LevelT")
CaseT = TypeVar("CaseT")
ScoreT = TypeVar("ScoreT")
Advance = Callable[[], None]


def silent() -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Conditions:
    """The conditions that are the same for all levels and candidates.

    Attributes:
        count: of scenes.
        seed: of the scenes, the noise and the rounding.
        renderers: names.
        device: where the candidates are.
        rounding: of the frames that they are given: see :func:`~mm.evaluation.protocol.record_frames`.

    Raises:
        InputError: for a count below 1.
    """

    count: int
    seed: int
    renderers: Sequence[str]
    device: torch.device
    rounding: Rounding = "random"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"count must be at least 1 scene, got {self.count}")


class Place(NamedTuple):
    """The place of a list of scores in a measurement."""

    content: str
    renderer: str
    method: str
    level: Any


class Measurement(Protocol):
    """A measurement that a command can run, write and print."""

    name: ClassVar[str]

    def steps(self, candidates: Sequence[Candidate], conditions: Conditions) -> int:
        """Return how often :meth:`run` advances."""
        ...

    def run(self, candidates: Sequence[Candidate], conditions: Conditions, advance: Advance = silent) -> Any:
        """Measure the candidates; return what the other two methods take."""
        ...

    def write(self, folder: Path, found: Any) -> list[str]:
        """Write the CSV and the picture into ``folder``; return the files' names."""
        ...

    def tables(self, found: Any) -> Iterable[Table]:
        """Return the tables to print."""
        ...

    def notes(self, found: Any) -> Iterable[str]:
        """Return lines to print below them."""
        ...


class SceneMeasurement(ABC, Generic[LevelT, CaseT, ScoreT]):
    """A measurement on rendered scenes; a subclass says which, and what is asked and scored.

    Attributes:
        name: of the command and of its files.
        contents: kinds of scene.
        levels: to measure at.
    """

    name: ClassVar[str]
    contents: ClassVar[tuple[str, ...]] = ("objects",)
    levels: Sequence[LevelT]

    @abstractmethod
    def scene(self, content: str, seed: int, index: int) -> SceneSpec:
        """Return scene ``index`` of a kind."""

    @abstractmethod
    def cases(self, spec: SceneSpec, shown: Stage, index: int, conditions: Conditions) -> Iterator[CaseT]:
        """Yield the questions that a scene puts to each candidate, all levels among them."""

    @abstractmethod
    def ask(self, candidate: Candidate, case: CaseT) -> Any:
        """Return what the candidate makes of a case, as :meth:`score` takes it."""

    @abstractmethod
    def score(self, case: CaseT, output: Any) -> Iterable[tuple[LevelT, ScoreT]]:
        """Return the case's levels, each with its score."""

    def notes(self, found: Any) -> Iterable[str]:
        """Return lines to print below the tables; none by default."""
        return ()

    def steps(self, candidates: Sequence[Candidate], conditions: Conditions) -> int:
        """Return how often :meth:`run` advances."""
        scenes = len(self.contents) * conditions.count * len(conditions.renderers)
        return scenes * len(self.levels) * len(candidates)

    def run(
        self, candidates: Sequence[Candidate], conditions: Conditions, advance: Advance = silent
    ) -> dict[Place, list[ScoreT]]:
        """Measure the candidates side by side: all are given the same frames.

        Returns:
            Scores of each scene, by content, renderer, method and level, in this order.
        """
        found: dict[Place, list[ScoreT]] = {
            Place(content, renderer, candidate.name, level): []
            for content in self.contents
            for renderer in conditions.renderers
            for candidate in candidates
            for level in self.levels
        }
        for content in self.contents:
            for index in range(conditions.count):
                spec = self.scene(content, conditions.seed, index)
                for renderer in conditions.renderers:
                    shown = stage(renderer, spec, conditions.device)
                    for case in self.cases(spec, shown, index, conditions):
                        for candidate in candidates:
                            for level, score in self.score(case, self.ask(candidate, case)):
                                found[Place(content, renderer, candidate.name, level)].append(score)
                                advance()
        return found


def scenes_of(found: Mapping[Place, Sequence[Any]]) -> int:
    """Return the number of scenes that were measured."""
    return max(map(len, found.values()), default=0)
