"""A local mirror of data sets, for machines without a network: filled by `pull`, proved by `check`.

Files come whole or not at all: they are fetched into a folder inside the mirror, compared with the checksums that the
hub (or the repository of FreebaseQA's authors) states for the pinned commit, and renamed into place. A manifest keeps
the origin of each file and its SHA-256.
"""

import gzip
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from pydantic import Field

from kick.data.datasets import (
    FREEBASEQA_BLOBS,
    FreebaseqaFile,
    HubSplit,
    download_freebaseqa,
    git_blob_hash,
)
from kick.errors import InputError
from kick.files import file_sha256, read_json, sync, temporary_path, write_atomically
from kick.hub import fetch
from kick.types import Record

MANIFEST = "kick-data.json"
# Inside the data root, so a rename puts a file in place.
SCRATCH = ".kick-data"

# SHA-256 of files on the hub at the commits that the tasks pin, known independently of what the hub states.
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
    # Task names, `perplexity_<text>` or "calibration".
    tasks: tuple[str, ...]

    @property
    def file(self) -> str:
        """The path of the file inside a data root."""
        return self.origin.file


class Entry(Record):
    """A file in the manifest."""

    sha256: str
    bytes: int
    origin: HubSplit | FreebaseqaFile
    # Each file that it was made of -> the checksum: SHA-256, or git's blob hash for FreebaseQA.
    fetched: dict[str, str]


class Manifest(Record):
    """The files that `pull` wrote into a mirror."""

    # Path inside the data root -> file.
    files: dict[str, Entry] = Field(default_factory=dict)


State = Literal["unchanged", "published", "unknown", "missing", "changed", "other commit", "not published"]
GOOD: frozenset[State] = frozenset({"unchanged", "published"})


class FileState(Record):
    """The state of a file of the mirror, and what it rests on."""

    file: str
    state: State
    detail: str
    tasks: tuple[str, ...]


# --- pull ---


def pull(needed: Sequence[Need], root: Path, say: Callable[[str], None]) -> list[FileState]:
    """Fetch what a mirror lacks; what it holds unchanged from the same commit is kept.

    Args:
        needed: the files.
        root: the data root; made if it does not exist.
        say: receives one line per file.

    Returns:
        The state of every file afterwards; `missing` are those that no hub has.

    Raises:
        InputError: the hub gives no answer, a file is not the published one, or a file that `pull` did not write is in
            the way. What was fetched before is kept, and the same call goes on from there.
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
    part = temporary_path(scratch / "part")
    if isinstance(origin, FreebaseqaFile):
        part.write_bytes(download_freebaseqa(origin.split, origin.commit))
        fetched = {f"FreebaseQA-{origin.split}.json": FREEBASEQA_BLOBS[origin.split]}
    else:
        fetched = _fetch_split(origin, scratch, part)
    sync(part)
    final = root / origin.file
    final.parent.mkdir(parents=True, exist_ok=True)
    entry = Entry(sha256=file_sha256(part), bytes=part.stat().st_size, origin=origin, fetched=fetched)
    part.replace(final)
    sync(final.parent)
    _write_manifest(root, Manifest(files={**read_manifest(root).files, origin.file: entry}))


def _fetch_split(origin: HubSplit, scratch: Path, part: Path) -> dict[str, str]:
    """Write the rows of a split to `part`, and return the files that they came from with their SHA-256."""
    where = f"{origin.repository} ({origin.config}, {origin.split}) at commit {origin.commit}"
    folder = scratch / origin.repository.replace("/", "__")
    names, mismatches = fetch(
        where, lambda: _download(origin, where, folder), advice="Connect to the network, and pull again."
    )
    sums = {name: file_sha256(folder / name) for name in names}
    for name, sha256 in sums.items():
        published = PUBLISHED.get((origin.repository, name), sha256)
        expected = mismatches.get(name) or (published if published != sha256 else None)
        if expected is not None:
            shutil.rmtree(folder)
            raise InputError(
                f"{where}: {name} is not the published file: its checksum is not {expected}. "
                "Fetch it again, or look at what changes it on the way."
            )
    files = [folder / name for name in names]
    if len(files) == 1 and files[0].suffix == ".parquet" and origin.rows is None:
        files[0].replace(part)
    else:
        pq.write_table(_read(files, origin.rows), part)
    return sums


def _download(origin: HubSplit, where: str, folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Download the files of a split into a folder.

    Returns:
        The names of the files, and those that are not what the hub states -> the checksum that it states.
    """
    hub, repository = HfApi(), origin.repository
    names = origin.names
    if not names:
        listed = hub.list_repo_files(repository, repo_type="dataset", revision=origin.commit)
        names = split_files(listed, origin.config, origin.split)
    if names:
        hub.snapshot_download(
            repository,
            repo_type="dataset",
            revision=origin.commit,
            allow_patterns=list(names),
            local_dir=folder,
        )
    if not names or not all((folder / name).is_file() for name in names):
        raise InputError(f"{where}: its files were not found on the hub.")
    report = hub.verify_repo_checksums(
        repository, repo_type="dataset", revision=origin.commit, local_dir=folder
    )
    return names, {mismatch["path"]: mismatch["expected"] for mismatch in report.mismatches}


def split_files(names: Sequence[str], config: str, split: str) -> tuple[str, ...]:
    """Return the files of a split by the hub's customs: `<config or data>/<split>-*.parquet`, or one named for it.

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
    """Return the rows of files as one table; text files are read as `datasets` reads them."""
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
    """Return the state of every needed file.

    Raises:
        InputError: the mirror's manifest is damaged.
    """
    manifest = read_manifest(root)
    return [_state(need, root, manifest) for need in needed]


def _state(need: Need, root: Path, manifest: Manifest) -> FileState:
    def report(state: State, detail: str) -> FileState:
        return FileState(file=need.file, state=state, detail=detail, tasks=need.tasks)

    file, entry = root / need.file, manifest.files.get(need.file)
    if not file.is_file():
        return report("missing", "pulled once, and gone" if entry else "not in the mirror")
    if entry is None:
        return report(*_unlisted(need.origin, file))
    if entry.origin != need.origin:
        was = entry.origin.commit
        return report("other commit", f"pulled at commit {was}, the tasks pin {need.origin.commit}")
    actual = file_sha256(file)
    if actual != entry.sha256:
        return report("changed", f"its SHA-256 is {actual}, the manifest says {entry.sha256}")
    return report("unchanged", f"SHA-256 {actual[:12]}, commit {str(need.origin.commit)[:12]}")


def _unlisted(origin: HubSplit | FreebaseqaFile, file: Path) -> tuple[State, str]:
    """Return the state of a file that no manifest names, by the checksums that are known."""
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
    """Return the manifest of a data root; it is empty if there is none.

    Raises:
        InputError: it is damaged.
    """
    path = root / MANIFEST
    if not path.exists():
        return Manifest()
    try:
        return read_json(path, Manifest)
    except InputError as error:
        raise InputError(f"{error} Delete it, and pull again.") from None


def _write_manifest(root: Path, manifest: Manifest) -> None:
    write_atomically(root / MANIFEST, manifest.model_dump_json(indent=1))
