"""The documents of every task: from a local mirror (`--data-root`, `KICK_DATA_ROOT`), else from the hub.

lm-eval calls these functions as `custom_dataset(**metadata, **dataset_kwargs)`, so a task loads the same rows under
kick and under plain lm-eval. Hub data is pinned to a commit; local files are read in memory. The key
is `commit` because lm-eval's metadata holds the arguments of the model, its `revision` among them.
"""

import hashlib
import http.client
import json
import os
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kick.data.mmlu_subjects import CATEGORIES
from kick.data.options import refers_to_options
from kick.errors import InputError, nearest
from kick.types import Record

DATA_ROOT_VARIABLE = "KICK_DATA_ROOT"
Splits = dict[str, datasets.Dataset]

FREEBASEQA_URL = "https://raw.githubusercontent.com/kelvin-jiang/FreebaseQA/{commit}/FreebaseQA-{split}.json"
FREEBASEQA_COMMIT = "d16aae5149aaa25e43ff2a7bd00a06f280ca19b9"
# The git blob hashes of the files at that commit.
FREEBASEQA_BLOBS = {
    "train": "24dc4b13a9c4a0ad734732db094c124d086b7d67",
    "dev": "2e16ac381efb7b9e362cbf9bd0cee90006244ea8",
    "eval": "d7d06ae721aedca26a0838d0113cddc1aa6774a8",
}


class HubSplit(Record):
    """A split of a data set on the hub, and the file of a local mirror that holds it."""

    # The repository as `owner/name`.
    repository: str
    config: str = "default"
    split: str
    # None: not on the hub, in a local mirror only.
    commit: str | None
    # The files on the hub, if the names of config and split do not lead to them.
    names: tuple[str, ...] = ()
    # The number of rows that are needed, from the first (None: all).
    rows: int | None = None

    @property
    def file(self) -> str:
        """The path below a data root."""
        return f"{self.repository.replace('/', '__')}/{self.config}/{self.split}.parquet"


class FreebaseqaFile(Record):
    """A file of FreebaseQA's authors."""

    split: str
    commit: str

    @property
    def file(self) -> str:
        """The path below a data root."""
        return f"freebaseqa/FreebaseQA-{self.split}.json"


def load(
    *,
    path: str,
    splits: Sequence[str],
    name: str | None = None,
    commit: str | None = None,
    columns: Sequence[str] | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load splits of a hub data set.

    Args:
        path: `owner/name` on the hub; locally the folder `owner__name` under the data root.
        splits: the splits to load; locally the files `<split>.parquet`.
        name: the configuration; `default` if left out.
        commit: the commit on the hub; ignored for local files.
        columns: the columns to keep, in this order; all if left out.
        data_root: the local mirror; else the environment variable `KICK_DATA_ROOT`; else the hub.
        _metadata: the rest of the task's metadata, which lm-eval passes along; ignored.

    Raises:
        InputError: a file, commit or column is not there, a split is empty, or the hub does not answer.
    """
    return {
        split: dataset(table)
        for split, table in tables(path, splits, name, commit, columns, data_root).items()
    }


def mmlu(
    *,
    path: str,
    splits: Sequence[str],
    name: str,
    commit: str,
    shots_split: str,
    category: str | None = None,
    standalone: bool = False,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load MMLU's subjects as one data set, or those of a category; each document with its subject's `shots`.

    With `standalone`, only items and shots whose question can be answered without seeing the options
    (`kick.data.options.refers_to_options`); a subject without such shots takes those of the other subjects.

    The shots (list of {question, choices, answer}, in file order) are the rows of `shots_split` on the
    subject: 5 in MMLU's dev split. `SubjectSampler` in `kick.harness.fewshot` puts them before the question.

    Raises:
        InputError: as `load`; there is no such category, or no row of it; or a subject has no shots.
    """
    if category is not None and category not in CATEGORIES:
        raise InputError(f"MMLU has no category '{category}'. {nearest(category, list(CATEGORIES))}")
    columns = ("question", "subject", "choices", "answer")
    rows_of = tables(path, [*splits, shots_split], name, commit, columns, data_root)
    shots: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of[shots_split].to_pylist():
        shots[row["subject"]].append({key: row[key] for key in ("question", "choices", "answer")})
    if standalone:
        shots = _standalone_shots(shots)
    subjects = sorted(shots)
    pool = pa.array([shots[subject] for subject in subjects])
    result = {}
    for split in splits:
        table = rows_of[split]
        if category is not None:
            table = table.filter(pc.is_in(table.column("subject"), pa.array(CATEGORIES[category])))
        if standalone:
            questions, choices = table.column("question").to_pylist(), table.column("choices").to_pylist()
            keep = [not refers_to_options(*item) for item in zip(questions, choices, strict=True)]
            table = table.filter(pa.array(keep, pa.bool_()))
        rows = table.column("subject").to_pylist()
        if not rows:
            raise InputError(f"{path}: split '{split}' has no rows of the category {category}.")
        if unknown := sorted(set(rows) - set(subjects)):
            raise InputError(
                f"{path}: no rows in split '{shots_split}' for the subjects {', '.join(unknown)}."
            )
        attached = pool.take(pa.array([subjects.index(subject) for subject in rows]))
        result[split] = dataset(table.append_column("shots", attached))
    return result


def _standalone_shots(shots: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Replace the shots that refer to their options by others of the subject, else of the following subjects."""
    fit = {
        subject: [shot for shot in of_subject if not refers_to_options(shot["question"], shot["choices"])]
        for subject, of_subject in shots.items()
    }
    pool = [shot for subject in sorted(fit) for shot in fit[subject]]
    result = {}
    for subject, of_subject in shots.items():
        others = [shot for shot in pool if shot not in fit[subject]]
        result[subject] = [*fit[subject], *others][: len(of_subject)]
    return result


def freebaseqa(
    *, splits: Sequence[str], commit: str, data_root: str | None = None, **_metadata: object
) -> Splits:
    """Load FreebaseQA (Jiang et al., 2019) from its authors' JSON.

    A document is {id, question, answers, relation}: the raw question, the answers of all its parses without
    repetition, and the Freebase relation of the first parse. Local files are
    `freebaseqa/FreebaseQA-<split>.json`; a download must have the git blob hash of the pinned commit.

    Raises:
        InputError: a file is missing, is not FreebaseQA's JSON, or is not the one that was published.
    """
    root = _root(data_root)
    result = {}
    for split in splits:
        if split not in FREEBASEQA_BLOBS:
            raise InputError(f"FreebaseQA has no split '{split}'. {nearest(split, list(FREEBASEQA_BLOBS))}")
        if root is None:
            source = FREEBASEQA_URL.format(commit=commit, split=split)
            content = download_freebaseqa(split, commit)
        else:
            file = root / FreebaseqaFile(split=split, commit=commit).file
            source = str(file)
            content = _existing(file, root).read_bytes()
        documents = _freebaseqa_documents(content, source)
        if not documents:
            raise InputError(f"{source} holds no questions. Fetch it again.")
        result[split] = datasets.Dataset.from_list(documents)
    return result


def download_freebaseqa(split: str, commit: str) -> bytes:
    """Return a file of FreebaseQA from its authors' repository.

    Raises:
        InputError: another commit than the known one, no answer, or not the file that was published.
    """
    url = FREEBASEQA_URL.format(commit=commit, split=split)
    if commit != FREEBASEQA_COMMIT:
        raise InputError(
            f"FreebaseQA is known at commit {FREEBASEQA_COMMIT} only, not at {commit}: its files are "
            "checked by their hashes there."
        )
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            content: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"could not fetch {url}: {error}. Without a network, name a local mirror with --data-root or "
            f"{DATA_ROOT_VARIABLE}."
        ) from error
    if git_blob_hash(content) != FREEBASEQA_BLOBS[split]:
        raise InputError(
            f"{url} is not the published file: its git blob hash is {git_blob_hash(content)}, expected "
            f"{FREEBASEQA_BLOBS[split]}. Fetch it again, or look at what changes it on the way."
        )
    return content


def dataset(table: pa.Table) -> datasets.Dataset:
    """Return the rows of a table as a data set in memory."""
    return datasets.Dataset(datasets.table.InMemoryTable(table))


def git_blob_hash(content: bytes) -> str:
    """Return the name that git gives to a file of this content: SHA-1 over a header and the bytes, 40 hex digits."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def tables(
    path: str,
    splits: Sequence[str],
    name: str | None,
    commit: str | None,
    columns: Sequence[str] | None,
    data_root: str | None,
    *,
    names: Sequence[str] = (),
) -> dict[str, pa.Table]:
    """Return the splits as Arrow tables in memory; arguments and errors as `load`.

    From the hub, `names` are the only files that are fetched, if a split has many.
    """
    root = _root(data_root)
    result = {}
    for split in splits:
        if root is None:
            source = f"{path} ({name or 'default'}, {split}) at commit {commit}"
            table = _hub_table(path, name, split, commit, names)
        else:
            file = root / HubSplit(repository=path, config=name or "default", split=split, commit=commit).file
            source = str(file)
            table = _read_parquet(_existing(file, root))
        result[split] = _select(table, columns, source)
    return result


def _root(data_root: str | None) -> Path | None:
    """Return the local mirror, if one was named; a name that leads nowhere is an error, not a reason to go online."""
    given = data_root or os.environ.get(DATA_ROOT_VARIABLE)
    if not given:
        return None
    root = Path(given).expanduser()
    if not root.is_dir():
        origin = "--data-root" if data_root else DATA_ROOT_VARIABLE
        raise InputError(
            f"the data root {root} (from {origin}) is not a folder. Name the folder of a local mirror, or "
            "none to load from the hub."
        )
    return root


def _existing(file: Path, root: Path) -> Path:
    if not file.is_file():
        raise InputError(
            f"{file} is missing under the data root {root}. Put the split there (see docs/data.md), or "
            f"leave out --data-root and {DATA_ROOT_VARIABLE} to load it from the hub."
        )
    return file


def _read_parquet(file: Path) -> pa.Table:
    try:
        return pq.read_table(file, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{file} does not read as Parquet: {error}. Fetch it again.") from error


def _hub_table(path: str, name: str | None, split: str, commit: str | None, names: Sequence[str]) -> pa.Table:
    if commit is None:
        raise InputError(
            f"{path} is pinned to no commit on the hub, so it comes from a local mirror only. Name one with "
            f"--data-root or {DATA_ROOT_VARIABLE}, or give `commit:` in the task's dataset_kwargs."
        )
    try:
        if names:
            loaded = datasets.load_dataset(path, data_files={split: names}, split=split, revision=commit)
        else:
            loaded = datasets.load_dataset(path, name, split=split, revision=commit)
    except (OSError, ValueError) as error:  # no network, no such data set, commit, configuration or split
        raise InputError(
            f"could not load {path} ({name or 'default'}, split {split}) at commit {commit} from the "
            f"hub: {error}. Without a network, name a local mirror with --data-root or {DATA_ROOT_VARIABLE}."
        ) from error
    return loaded.data.table


def _select(table: pa.Table, columns: Sequence[str] | None, source: str) -> pa.Table:
    if table.num_rows == 0:
        raise InputError(f"{source} holds no rows. Fetch it again.")
    missing = [column for column in columns or () if column not in table.column_names]
    if missing:
        raise InputError(
            f"{source} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}. "
            "Use the data set and commit that the task names."
        )
    return table if columns is None else table.select(list(columns))


def _freebaseqa_documents(content: bytes, source: str) -> list[dict[str, Any]]:
    try:
        return [
            {
                "id": question["Question-ID"],
                "question": question["RawQuestion"].strip(),
                "answers": list(
                    dict.fromkeys(
                        name
                        for parse in question["Parses"]
                        for answer in parse["Answers"]
                        for name in answer["AnswersName"]
                    )
                ),
                "relation": question["Parses"][0]["InferentialChain"],
            }
            for question in json.loads(content)["Questions"]
        ]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{source} is not in the JSON layout of FreebaseQA ({type(error).__name__}: {error}). "
            "Use the files of its authors' repository."
        ) from error
