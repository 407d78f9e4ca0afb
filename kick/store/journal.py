"""The responses of a cell that is not finished, so that a killed run goes on where it was."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Journal:
    """The responses of a cell as they come, so that a killed run goes on where it was.

    One JSON line a batch: `{"rows": [...], "responses": [...]}` with the positions of the requests in the plan. A line
    that a crash cut short is dropped, and with it nothing but that batch. Lines are handed to the operating system,
    which keeps them when the process is killed; waiting for the disk would cost more than a small model's batch.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def read(self) -> dict[int, Any]:
        """Request position -> response, up to the first line that is torn or damaged; cuts the rest off the file."""
        if not self.path.exists():
            return {}
        responses: dict[int, Any] = {}
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line.removesuffix(b"\n"))
                    answers = dict(zip(entry["rows"], entry["responses"], strict=True))
                except (ValueError, KeyError, TypeError):
                    break
                if not line.endswith(b"\n"):
                    break
                responses.update(answers)
                whole += len(line)
        if whole != self.path.stat().st_size:
            os.truncate(self.path, whole)
        return responses

    def append(self, rows: Sequence[int], responses: Sequence[Any]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        line = json.dumps({"rows": list(rows), "responses": list(responses)}) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
