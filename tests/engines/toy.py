"""An engine of no use that a package could bring: it prefers low tokens, and can be told to be silent."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from kick.engines.base import (
    Capability,
    Completion,
    EngineOrder,
    EnginePlan,
    Format,
    LoadedEngine,
    LogLikelihood,
    ModelFiles,
    Progress,
    Request,
    Response,
    Score,
    TokenScores,
    as_entry,
    as_response,
    journaled,
    read_arguments,
    resume,
)
from kick.store import Journal


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    shift: float = 0.0
    silent: bool = False


class ToyBatch:
    def __init__(self, position: int) -> None:
        self.positions = [position]


class ToyEngine:
    name, version = "toy", "1.0"

    def __init__(self, arguments: Arguments) -> None:
        self.shift = arguments.shift
        self.settings: Mapping[str, str] = {"shift": f"{arguments.shift:g}"}
        self.capabilities: frozenset[Capability] = frozenset(
            {"score"} if arguments.silent else {"score", "generate"}
        )

    def answer(
        self,
        requests: Sequence[Request],
        journal: Journal | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> list[Response]:
        entries = resume(
            [ToyBatch(position) for position in range(len(requests))],
            journaled(journal, requests),
            lambda batch: {place: as_entry(self._respond(requests[place])) for place in batch.positions},
            journal,
            progress,
        )
        return [as_response(request, entries[place]) for place, request in enumerate(requests)]

    def _respond(self, request: Request) -> Response:
        if isinstance(request, Score):
            return LogLikelihood(-0.01 * sum(request.continuation) - self.shift, greedy=False)
        return Completion("toy", cut=False)

    def predict_tokens(
        self,
        requests: Sequence[Score],
        journal: Journal | None = None,
        *,
        keep: Path | None = None,
        reference_states: Path | None = None,
        alone: bool = False,
    ) -> list[TokenScores]:
        raise NotImplementedError


class ToyKind:
    formats: frozenset[Format] = frozenset({"folder"})

    def plan(self, order: EngineOrder) -> EnginePlan:
        engine = ToyEngine(read_arguments("toy", order.arguments, Arguments))
        return EnginePlan(
            engine.version, engine.settings, f"toy/{order.batch.rows}", frozenset({"score", "generate"})
        )

    def load(self, files: ModelFiles, order: EngineOrder) -> LoadedEngine:
        engine = ToyEngine(read_arguments("toy", order.arguments, Arguments))
        return LoadedEngine(
            engine, memory=1, loading=("run by the toy",), refusals={"generate": "it was told to be silent"}
        )


ENGINE = ToyKind()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution whose only content is the entry point of the toy engine."""
    metadata = folder / "kick_toy-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kick-toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kick.engines]\ntoy = tests.engines.toy:ENGINE\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
