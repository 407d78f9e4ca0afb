"""Small results folders for tests of the store, and the damage that is done to them."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from kick.store import Journal, Store
from kick.types import TierChoice
from tests.results import binary_task, write_pair, write_scores

KEY = "0123456789abcdef"


def make_whole(path: Path) -> Store:
    """A results folder with one of everything that kick writes: cells, records, a tier, a journal, states."""
    store = write_pair(path, [1, 0, 1, 1], [0, 0, 1, 1])
    write_scores(store, "dense", binary_task("more"), pd.DataFrame({"em": np.ones(3)}))
    store.write_tier(KEY, TierChoice(tier="tree", refused={}))
    journal = Journal(store.journal_path("small", KEY), KEY)
    for row in range(4):
        journal.append([row], [f"answer {row}"])
    write_states(store, b"states" * 100, b"head" * 100)
    return store


def write_states(store: Store, values: bytes, head: bytes) -> None:
    """The states of a reference as the torch engine leaves them."""
    path = store.states_path(KEY)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(values)
    path.with_suffix(".head.safetensors").write_bytes(head)
    sums = f'"values_sha256":"{_sha256(values)}","head_sha256":"{_sha256(head)}"'
    fields = f'{{"tokens":5,"width":8,{sums}'
    seal = _sha256(f"{fields}}}".encode())
    path.with_suffix(".json").write_text(f'{fields},"sha256":"{seal}"}}')


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its hash."""
    return {
        path.relative_to(folder).as_posix(): _sha256(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
