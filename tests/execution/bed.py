"""A suite to run: real small models, data of a few rows, and a results folder."""

from pathlib import Path
from typing import Any

import yaml

from kick.execution.runner import RunSummary, run
from kick.suite import Suite

TASKS = ["kick_squad", "kick_mmlu"]


class Bed:
    """A suite with a dense model and two series points, its data and a results folder."""

    def __init__(self, folder: Path, data_root: Path) -> None:
        self.folder, self.data_root = folder, data_root
        self.keys: dict[str, Any] = {
            "name": "test",
            "reference": "dense",
            "checkpoints": [{"id": "dense", "model": "model"}],
            "series": [{"from": "dense", "method": "magnitude", "sparsity": [0.5]}],
            "tasks": TASKS,
            "limit": 3,
            "noise_floor": False,
        }

    def suite_file(self) -> Path:
        path = self.folder / "suite.yaml"
        path.write_text(yaml.safe_dump(self.keys))
        return path

    def run(self, results: str = "results", **options: Any) -> RunSummary:
        suite = Suite.read(self.suite_file())
        where = {"data_root": self.data_root, "cache": self.folder / "cache", "device": "cpu"}
        return run(suite, self.folder / results, **where, **options)
