"""A local mirror of the data of a suite, for machines without a network: filled by `pull`, proved by `check`.

Files come whole or not at all: they are fetched into a folder beside the mirror's, compared with the checksums that the
hub (or FreebaseQA's authors' repository) states for the pinned commit, and renamed into place. A manifest keeps where
each came from and its SHA-256.
"""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile
from pydantic import Field, ValidationError

from kick.data.corpora import CALIBRATION, SOURCES
from kick.data.datasets import (
    FREEBASEQA_BLOBS,
    FreebaseqaFile,
    HubSplit,
    download_freebaseqa,
    git_blob_hash,
)
from kick.errors import InputError
from kick.files import file_sha256, sync
from kick.suite import Suite
from kick.suite.catalog import CatalogTask, read_catalog
from kick.types import Record

MANIFEST = "kick-data.json"
SCRATCH = ".kick-data"  # below the data root, so that a rename is enough

# SHA-256 of files on the hub at the commits that the tasks pin, known apart from the hub's own word.
PUBLISHED: Mapping[tuple[str, str], str] = {
    ("cais/mmlu", "all/test-00000-of-00001.parquet"): (
        "74a41822ce7d3def56e1682f958469c04642a5336a5ce912fa375fdb90fb25d7"
    ),
    ("hotpotqa/hotpot_qa", "distractor/validation-00000-of-00001.parquet"): (
        "c20b638ca82b21d04fe12e14ff417ad05153d4d215a65de54497fca4e972f7c6"
    ),
    ("google-research-datasets/nq_open", "nq_open/validation-00000-of-00001.parquet"): (
        "b074bed0bccb56fa1551a8ac1c9c51ce89bc11c7fbb6a9c713b2c33a98531e12"
    ),
    ("framolfese/2WikiMultihopQA", "data/validation-00000-of-00001.parquet"): (
        "408e2dbb28edc6c8b9ca3ba0c94d4fc7bf17ffb923766593a3a7f546ab4cba59"
    ),
    ("EleutherAI/wikitext_document_level", "wikitext-2-raw-v1/wikitext-2-raw-v1-test.parquet"): (
        "e7fc7d4c385d027e0360f7eb320866df61adb68f385986e5c7f4f3911d62f4eb"
    ),
    ("akariasai/PopQA", "test.tsv"): "9a5227f41bff0e4c331d4a774d946b12f95307892b58f860a9606ef356e6089b",
    ("dgslibisey/MuSiQue", "musique_ans_v1.0_dev.jsonl"): (
        "15fa63794d18a94ce12411aca6e2327e65b6e83b0b1490efab3f1962e48abf3b"
    ),
}
_SPLIT_WORDS = {"validation": {"validation", "valid", "val", "dev"}}
_TABULAR = (".tsv", ".csv", ".jsonl", ".json")


class Need(Record):
    """A file of the mirror, where it comes from, and who needs it."""

    origin: HubSplit | FreebaseqaFile
    tasks: tuple[str, ...]

    @property
    def file(self) -> str:
        return self.origin.file


class Entry(Record):
    """A file in the manifest."""

    sha256: str
    bytes: int
    origin: HubSplit | FreebaseqaFile
    fetched: dict[str, str]  # the files that it was made of -> their checksum: SHA-256, or git's blob hash


class Manifest(Record):
    """What `pull` wrote into a mirror."""

    files: dict[str, Entry] = Field(default_factory=dict)


State = Literal["unchanged", "published", "unknown", "missing", "changed", "other commit", "not published"]
GOOD: frozenset[State] = frozenset({"unchanged", "published"})


class FileState(Record):
    """What was found of a file of the mirror."""

    file: str
    state: State
    detail: str
    tasks: tuple[str, ...]


def needs(suite: Suite) -> list[Need]:
    """The files that the tasks and the perplexity of a suite read, in the order of the suite.

    Raises:
        InputError: a task loads its data by itself (lm-eval's `dataset_path`), so that a data root is of no use to it.
    """
    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    found: dict[str, tuple[HubSplit | FreebaseqaFile, list[str]]] = {}
    for name in suite.tasks:
        for origin in _origins(catalog.tasks[name]):
            found.setdefault(origin.file, (origin, []))[1].append(name)
    for name in suite.perplexity.datasets if suite.perplexity else ():
        if name in SOURCES:
            found.setdefault(SOURCES[name].file, (SOURCES[name], []))[1].append(f"perplexity_{name}")
    for checkpoint in suite.checkpoints:
        for step in checkpoint.recipe.steps if checkpoint.recipe else ():
            if step.calibration and step.calibration.data in CALIBRATION:
                origin = CALIBRATION[step.calibration.data]
                users = found.setdefault(origin.file, (origin, []))[1]
                users += ["calibration"] if "calibration" not in users else []
    return [Need(origin=origin, tasks=tuple(tasks)) for origin, tasks in found.values()]


def _origins(task: CatalogTask) -> Sequence[HubSplit | FreebaseqaFile]:
    data: Mapping[str, Any] = task.config.get("dataset_kwargs") or {}
    function = str(task.config.get("custom_dataset") or "")
    if not function:
        raise InputError(
            f"{task.path}: {task.info.name} loads its data by lm-eval's dataset_path, which reads no data root. Load "
            "them with `custom_dataset: !function kick.data.datasets.load`, or leave the task out of the suite."
        )
    splits = [*data.get("splits", ()), *([data["shots_split"]] if "shots_split" in data else [])]
    if "freebaseqa" in function.rpartition(".")[2]:
        return [FreebaseqaFile(split=split, commit=data["commit"]) for split in splits]
    if "path" not in data:  # made, not fetched
        return []
    return [
        HubSplit(
            repository=data["path"],
            config=data.get("name", "default"),
            split=split,
            commit=data.get("commit"),
        )
        for split in splits
    ]


# --- pull ---


def pull(needed: Sequence[Need], root: Path, say: Callable[[str], None]) -> list[FileState]:
    """Fetch what a mirror lacks; what it holds unchanged from the same commit stays.

    Args:
        needed: the files.
        root: the data root; made if it is not there.
        say: where progress goes.

    Returns:
        The state of every file afterwards; `missing` are those that no hub has.

    Raises:
        InputError: no answer, a file that is not the published one, or a file that `pull` did not write stands in the
            way. What was fetched before stays, and the same call goes on from there.
    """
    root.mkdir(parents=True, exist_ok=True)
    for need in needed:
        state = _state(need, root, read_manifest(root))
        if state.state in GOOD:
            say(f"{need.file}: there already")
        elif need.origin.commit is None:
            say(f"{need.file}: not on the hub. Put it there yourself; see docs/data.md.")
        elif state.state in ("unknown", "not published"):
            raise InputError(
                f"{root / need.file} was not written by `kick data pull` ({state.detail}), and is not replaced. Move "
                "it away, or give another --data-root."
            )
        else:
            say(f"{need.file}: fetching")
            _fetch(need.origin, root)
    shutil.rmtree(root / SCRATCH, ignore_errors=True)
    return check(needed, root)


def _fetch(origin: HubSplit | FreebaseqaFile, root: Path) -> None:
    """Fetch one file, put it in place, and enter it into the manifest."""
    scratch = root / SCRATCH
    scratch.mkdir(exist_ok=True)
    made = scratch / f"{os.getpid()}.part"
    if isinstance(origin, FreebaseqaFile):
        made.write_bytes(download_freebaseqa(origin.split, origin.commit))
        fetched = {f"FreebaseQA-{origin.split}.json": FREEBASEQA_BLOBS[origin.split]}
    else:
        fetched = _fetch_split(origin, scratch, made)
    sync(made)
    final = root / origin.file
    final.parent.mkdir(parents=True, exist_ok=True)
    entry = Entry(sha256=file_sha256(made), bytes=made.stat().st_size, origin=origin, fetched=fetched)
    made.replace(final)
    sync(final.parent)
    _write_manifest(root, Manifest(files={**read_manifest(root).files, origin.file: entry}))


def _fetch_split(origin: HubSplit, scratch: Path, made: Path) -> dict[str, str]:
    where = f"{origin.repository} ({origin.config}, {origin.split}) at commit {origin.commit}"
    try:
        hub = HfApi()
        tree = hub.list_repo_tree(
            origin.repository, repo_type="dataset", revision=origin.commit, recursive=True
        )
        stated = {file.path: _stated(file) for file in tree if isinstance(file, RepoFile)}
        names = origin.names or split_files(list(stated), origin.config, origin.split)
        if not names or any(name not in stated for name in names):
            raise InputError(f"{where}: its files were not found on the hub among {', '.join(stated)}.")
        files = [
            Path(
                hub.hf_hub_download(
                    origin.repository,
                    name,
                    repo_type="dataset",
                    revision=origin.commit,
                    local_dir=scratch / origin.repository.replace("/", "__"),
                )
            )
            for name in names
        ]
    except (OSError, httpx.HTTPError, ValueError) as error:
        raise InputError(f"could not fetch {where}: {error}") from error
    for name, file in zip(names, files, strict=True):
        expected = {stated[name], PUBLISHED.get((origin.repository, name), stated[name])}
        if expected != {_checksum(file, stated[name])}:
            file.unlink()
            raise InputError(
                f"{where}: {name} is not the published file: its checksum is not {' or '.join(sorted(expected))}. "
                "Fetch it again, or look at what changes it on the way."
            )
    if len(files) == 1 and files[0].suffix == ".parquet" and origin.rows is None:
        files[0].replace(made)
    else:
        pq.write_table(_read(files, origin.rows), made)
    return {name: stated[name] for name in names}


def _stated(file: RepoFile) -> str:
    """The checksum that the hub states: SHA-256 of large files, git's blob hash of others."""
    return str(file.lfs.sha256 if file.lfs else file.blob_id)


def _checksum(file: Path, like: str) -> str:
    return file_sha256(file) if len(like) == 64 else git_blob_hash(file.read_bytes())


def split_files(names: Sequence[str], config: str, split: str) -> tuple[str, ...]:
    """The files of a split by the hub's customs: `<config or data>/<split>-*.parquet`, else one named for the split.

    Raises:
        InputError: several files could be meant.
    """
    folders = {config} if config != "default" else {"", "data", "default"}
    parquet = [
        name
        for name in names
        if name.rpartition("/")[0] in folders
        and re.fullmatch(rf"{re.escape(split)}(-\d.*)?\.parquet", name.rpartition("/")[2])
    ]
    if parquet:
        return tuple(sorted(parquet))
    words = _SPLIT_WORDS.get(split, {split})
    named = [
        name
        for name in names
        if name.rpartition("/")[0] in folders
        and name.endswith(_TABULAR)
        and words & set(re.split(r"[^a-z]+", name.rpartition("/")[2].lower()))
    ]
    if len(named) > 1:
        raise InputError(f"several files could be the split '{split}': {', '.join(named)}.")
    return tuple(named)


def _read(files: Sequence[Path], rows: int | None) -> pa.Table:
    """The rows of files as one table; of text files, as `datasets` reads them."""
    parts = []
    for file in files:
        if file.suffix == ".parquet":
            parts.append(pq.read_table(file, partitioning=None))
        elif file.suffix in (".tsv", ".csv"):
            frame = pd.read_csv(file, sep="\t" if file.suffix == ".tsv" else ",", nrows=rows)
            parts.append(pa.Table.from_pandas(frame, preserve_index=False))
        else:
            parts.append(_read_lines(file, rows))
    table = pa.concat_tables(parts)
    return table if rows is None else table.slice(0, rows)


def _read_lines(file: Path, rows: int | None) -> pa.Table:
    reader = gzip.open if file.suffix == ".gz" else open
    with reader(file, "rt", encoding="utf-8") as lines:
        return pa.Table.from_pylist([json.loads(line) for line in islice(lines, rows)])


# --- check ---


def check(needed: Sequence[Need], root: Path) -> list[FileState]:
    """What the mirror holds of the needed files.

    Raises:
        InputError: the mirror's manifest is damaged.
    """
    manifest = read_manifest(root)
    return [_state(need, root, manifest) for need in needed]


def _state(need: Need, root: Path, manifest: Manifest) -> FileState:
    def found(state: State, detail: str) -> FileState:
        return FileState(file=need.file, state=state, detail=detail, tasks=need.tasks)

    file, entry = root / need.file, manifest.files.get(need.file)
    if not file.is_file():
        return found("missing", "pulled once, and gone" if entry else "not in the mirror")
    if entry is None:
        return found(*_unlisted(need.origin, file))
    if entry.origin != need.origin:
        was = entry.origin.commit
        return found("other commit", f"pulled at commit {was}, the tasks pin {need.origin.commit}")
    actual = file_sha256(file)
    if actual != entry.sha256:
        return found("changed", f"its SHA-256 is {actual}, the manifest says {entry.sha256}")
    return found("unchanged", f"SHA-256 {actual[:12]}, commit {str(need.origin.commit)[:12]}")


def _unlisted(origin: HubSplit | FreebaseqaFile, file: Path) -> tuple[State, str]:
    """The state of a file that no manifest names, by the checksums that are known."""
    if isinstance(origin, FreebaseqaFile):
        actual, expected = git_blob_hash(file.read_bytes()), FREEBASEQA_BLOBS.get(origin.split)
    else:
        actual = file_sha256(file)
        published = {name: sha for (where, name), sha in PUBLISHED.items() if where == origin.repository}
        names = origin.names or split_files(list(published), origin.config, origin.split)
        whole = len(names) == 1 and names[0].endswith(".parquet") and origin.rows is None
        expected = published.get(names[0]) if whole else None
    if expected is None:
        return "unknown", f"no manifest names it, and no checksum of it is known; its SHA-256 is {actual}"
    if actual != expected:
        return (
            "not published",
            f"no manifest names it; its checksum is {actual}, the published one {expected}",
        )
    return "published", f"checksum {actual[:12]}, as published"


def read_manifest(root: Path) -> Manifest:
    """The manifest of a data root; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = root / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Manifest()
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}. Delete it, and pull again.") from None


def _write_manifest(root: Path, manifest: Manifest) -> None:
    scratch = root / SCRATCH / MANIFEST
    scratch.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    sync(scratch)
    scratch.replace(root / MANIFEST)
    sync(root)
