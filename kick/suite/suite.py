"""A suite file becomes a validated `Suite`: every mistake in it is named, with file and key, before a model loads."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kick.checkpoints.kv_cache import BITS
from kick.checkpoints.quantizers import check_name
from kick.compression import validate as validate_recipe
from kick.errors import InputError, explain, nearest
from kick.suite.catalog import Catalog, read_catalog
from kick.suite.model_refs import HUB_ID, elsewhere, expand_variables, local_path
from kick.suite.series import CalibrationKeys, Keys, SeriesKeys, points
from kick.types import Checkpoint, Dtype, Recipe, Tier

PerplexityDataset = Literal["wikitext2", "wikitext2_words", "c4", "world"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


_CHANGES = ("adapter", "quantizer", "loader", "kv_bits")


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error and not a silent replacement."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = [key for key in keys if keys.count(key) > 1]
        if repeated:
            raise yaml.MarkedYAMLError(
                problem=f"the key '{repeated[0]}' is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


class CheckpointKeys(Keys):
    """An entry of `checkpoints`."""

    id: str
    model: str | None = None  # None: that of `base`
    revision: str | None = None
    dtype: Dtype = "auto"
    trust_remote_code: bool = False
    tokenizer: str | None = None  # default: that of the model's folder
    adapter: str | None = None
    quantizer: str | None = None
    loader: str | None = None
    kv_bits: Annotated[int, Field(ge=BITS[0], le=BITS[-1])] | None = None
    base: str | None = None  # without `model`: the checkpoint that the entry stands on
    # These two, and `base` beside them, as a results folder keeps the points of a series.
    recipe: Recipe | None = None
    series: str | None = None


class Perplexity(Keys):
    """How perplexity is measured: windows of `window` tokens, the first `windows` of them (all when left out).

    Of `wikitext2_words` the items are pages, which windows of that length roll over.
    """

    datasets: tuple[PerplexityDataset, ...] = Field(min_length=1)
    window: Annotated[int, Field(ge=2)] = 2048
    windows: Annotated[int, Field(ge=1)] | None = None


class SuiteKeys(Keys):
    """The keys of a suite file."""

    name: str
    reference: str
    checkpoints: tuple[CheckpointKeys, ...] = Field(min_length=1)
    series: tuple[SeriesKeys, ...] = ()
    calibration: CalibrationKeys | None = None  # of every series whose method looks at data
    tasks: tuple[str, ...] = ()
    perplexity: Perplexity | None = None
    divergence: bool = False  # measure how far the candidates' distributions are from the reference's
    noise_floor: bool = True  # score the reference again in other batches: what a difference must exceed
    tier: Tier | Literal["auto"] = (
        "auto"  # the path of scoring; auto: the fastest that is right for the reference
    )
    limit: Annotated[int, Field(ge=1)] | None = None
    seed: int = 1234
    include_path: tuple[str, ...] = ()  # folders with further lm-eval task YAML


_BELOW: dict[str, type[BaseModel]] = {
    "checkpoints": CheckpointKeys,
    "series": SeriesKeys,
    "calibration": CalibrationKeys,
    "perplexity": Perplexity,
}


class Suite(BaseModel):
    """A validated suite: which checkpoints, which tasks, which reference. Series are expanded, groups resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reference: str
    checkpoints: tuple[Checkpoint, ...]
    tasks: tuple[str, ...]
    perplexity: Perplexity | None = None
    divergence: bool = False
    noise_floor: bool = True
    tier: Tier | Literal["auto"] = "auto"
    limit: int | None = None
    seed: int
    include_path: tuple[str, ...] = ()

    @classmethod
    def read(cls, source: str | Path) -> "Suite":
        """Read a suite file, or a packaged suite by its name.

        Raises:
            InputError: names the file, the key and the nearest valid choice.
        """
        path = Path(source)
        if not path.is_file():
            packaged = Path(__file__).parent / "packaged" / f"{source}.yaml"
            if not packaged.is_file():
                names = sorted(p.stem for p in packaged.parent.glob("*.yaml"))
                known = f" Packaged suites: {', '.join(names)}." if names else ""
                raise InputError(f"there is no suite file '{source}'.{known}")
            path = packaged
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as YAML: {error}") from None
        if not isinstance(data, dict):
            raise InputError(
                f"{path}: expected the keys of a suite (name, reference, checkpoints, tasks, ...)."
            )
        return cls.from_keys(data, where=str(path), folder=path.parent)

    @classmethod
    def from_keys(cls, data: Mapping[str, Any], *, where: str, folder: Path) -> "Suite":
        """Validate the keys of a suite; paths in it are taken relative to `folder`, messages begin with `where`."""
        try:
            keys = SuiteKeys.model_validate(data)
        except ValidationError as error:
            raise InputError(f"{where}: {explain(error, SuiteKeys, _BELOW)}") from None
        _check_id(keys.name, f"{where}: name")
        include = [local_path(entry, folder) for entry in keys.include_path]
        tasks = _task_names(keys, read_catalog(include), where)
        checkpoints = _checkpoints(keys, where, folder)
        ids = [checkpoint.id for checkpoint in checkpoints]
        if keys.reference not in ids:
            raise InputError(
                f"{where}: reference: there is no checkpoint '{keys.reference}'. {nearest(keys.reference, ids)}"
            )
        if not tasks and keys.perplexity is None:
            raise InputError(
                f"{where}: tasks: nothing to score. Name a task (see `kick tasks`) or set perplexity."
            )
        return cls(
            name=keys.name,
            reference=keys.reference,
            checkpoints=checkpoints,
            tasks=tasks,
            perplexity=keys.perplexity,
            divergence=keys.divergence,
            noise_floor=keys.noise_floor,
            tier=keys.tier,
            limit=keys.limit,
            seed=keys.seed,
            include_path=tuple(str(path) for path in include),
        )

    @classmethod
    def ad_hoc(
        cls, reference: str, candidates: Sequence[str], tasks: Sequence[str], limit: int | None
    ) -> "Suite":
        """A suite without a file: models as `Suite` takes them, hub ids with `@revision`; ids from their names.

        Further keys of a checkpoint follow its model: `path/to/dense,quantizer=bnb-nf4`.
        """
        entries: list[dict[str, Any]] = []
        for model in (reference, *candidates):
            model, *pairs = [model] if Path(model).exists() else model.split(",")
            more = dict(pair.partition("=")[::2] for pair in pairs)
            name, _, revision = model.partition("@") if not Path(model).exists() else (model, "", "")
            changed = [more.get("quantizer"), f"kv{more['kv_bits']}" if "kv_bits" in more else None]
            own_name = "-".join([Path(name).resolve().name, *filter(None, changed)])
            stem = base = re.sub(r"[^\w.-]", "-", own_name) or "model"
            while stem in [entry["id"] for entry in entries]:
                stem = f"{base}-{sum(e['id'].startswith(base) for e in entries) + 1}"
            entries.append(
                {"id": stem, "model": name, **({"revision": revision} if revision else {}), **more}
            )
        name = "-vs-".join(entry["id"] for entry in entries)[:100]
        keys = {"name": name, "reference": entries[0]["id"], "checkpoints": entries, "tasks": list(tasks)}
        if limit is not None:
            keys["limit"] = limit
        return cls.from_keys(keys, where="command line", folder=Path.cwd())

    def with_limit(self, limit: int) -> "Suite":
        if limit < 1:
            raise InputError(f"--limit: {limit} items cannot be scored. Give 1 or more.")
        return self.model_copy(update={"limit": limit})

    def dump(self) -> str:
        """The suite as YAML, its series and groups spelt out: what a results folder keeps, and can be run again."""
        return yaml.safe_dump(
            self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True
        )

    @property
    def perplexity_tasks(self) -> tuple[str, ...]:
        return tuple(f"perplexity_{name}" for name in self.perplexity.datasets) if self.perplexity else ()

    def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """The checkpoint with this id."""
        return next(checkpoint for checkpoint in self.checkpoints if checkpoint.id == checkpoint_id)

    def select_checkpoints(self, only: str | None) -> tuple[Checkpoint, ...]:
        """The checkpoints to score now: all, or the one named by `--only`."""
        ids = [checkpoint.id for checkpoint in self.checkpoints]
        if only is not None and only not in ids:
            raise InputError(f"--only: there is no checkpoint '{only}'. {nearest(only, ids)}")
        return tuple(checkpoint for checkpoint in self.checkpoints if only in (None, checkpoint.id))

    def select_tasks(self, names: Sequence[str]) -> tuple[str, ...]:
        """The tasks to score now: all, perplexity included, or those named by `--tasks`."""
        known = (*self.tasks, *self.perplexity_tasks)
        groups = read_catalog([Path(folder) for folder in self.include_path]).groups if names else {}
        chosen = [task for name in names for task in groups.get(name, (name,))]
        for name in chosen:
            if name not in known:
                raise InputError(f"--tasks: '{name}' is not in suite '{self.name}'. {nearest(name, known)}")
        return tuple(name for name in known if not names or name in chosen)


def _task_names(keys: SuiteKeys, catalog: Catalog, where: str) -> tuple[str, ...]:
    repeated = [name for name in keys.tasks if keys.tasks.count(name) > 1]
    if repeated:
        raise InputError(f"{where}: tasks: '{repeated[0]}' is listed twice.")
    return catalog.expand(keys.tasks, f"{where}: tasks")


def _checkpoints(keys: SuiteKeys, where: str, folder: Path) -> tuple[Checkpoint, ...]:
    listed: dict[str, Checkpoint] = {}
    standing = [(index, entry) for index, entry in enumerate(keys.checkpoints) if entry.model is None]
    for index, entry in enumerate(keys.checkpoints):
        if entry.model is None:
            continue
        _add(
            listed,
            _listed(entry, f"{where}: checkpoints.{index}", folder),
            f"{where}: checkpoints.{index}.id",
        )
    for checkpoint in listed.values():
        if checkpoint.recipe is not None:
            validate_recipe(checkpoint.recipe)
    for index, series in enumerate(keys.series):
        at = f"{where}: series.{index}"
        if series.source not in listed:
            raise InputError(
                f"{at}.from: there is no checkpoint '{series.source}'. {nearest(series.source, list(listed))}"
            )
        _check_id(series.shown, f"{at}.name")
        beside = partial(_calibration_data, folder=folder)
        for checkpoint in points(series, listed[series.source], keys.calibration, beside, at):
            _add(listed, checkpoint, at)
    for index, entry in standing:
        at = f"{where}: checkpoints.{index}"
        _add(listed, _standing(entry, at, folder, listed), f"{at}.id")
    _check_texts(keys, listed.values(), where)
    return tuple(listed.values())


def _calibration_data(data: str, folder: Path) -> str:
    """The name of a data set as it is; a file by its path."""
    local = local_path(data, folder)
    return str(local) if local.is_file() else data


def _check_texts(keys: SuiteKeys, checkpoints: Iterable[Checkpoint], where: str) -> None:
    """Refuses to measure perplexity on the text that a method was calibrated on."""
    drawn = {c.recipe.calibration.data for c in checkpoints if c.recipe and c.recipe.calibration}
    if keys.perplexity and "c4" in keys.perplexity.datasets and "c4_validation" in drawn:
        raise InputError(
            f"{where}: calibration: 'c4_validation' is the text that perplexity is measured on by 'c4'. Calibrate on "
            "'c4', its training split, or measure on another text."
        )


def _check_id(name: str, at: str) -> None:
    if not _ID.fullmatch(name):
        raise InputError(f"{at}: '{name}' cannot name a folder. Use letters, digits, '.', '_' and '-'.")


def _add(listed: dict[str, Checkpoint], checkpoint: Checkpoint, at: str) -> None:
    if checkpoint.id in listed:
        raise InputError(
            f"{at}: the id '{checkpoint.id}' is taken. Give the entry another `id`, or the series a `name`."
        )
    listed[checkpoint.id] = checkpoint


def _listed(entry: CheckpointKeys, at: str, folder: Path) -> Checkpoint:
    _check_id(entry.id, f"{at}.id")
    assert entry.model is not None
    model = expand_variables(entry.model, f"{at}.model")
    local = local_path(model, folder if model == entry.model else Path.cwd())  # a variable is the caller's
    if local.is_dir() or (local.is_file() and local.suffix == ".gguf"):
        if entry.revision is not None:
            raise InputError(
                f"{at}.revision: {local} is here, and what is local has no revision. Remove the key."
            )
        model = str(local)
    elif not HUB_ID.fullmatch(model):
        raise InputError(
            f"{at}.model: {local} is not a folder or .gguf file. Give the folder of a checkpoint, a .gguf file, or a "
            "hub id (owner/name, or owner/name/file.gguf)."
        )
    elif entry.revision is None:
        raise InputError(
            f"{at}.model: there is no folder {local}, and the hub id '{model}' is not pinned. "
            "Add `revision:` with the commit to load."
        )
    return Checkpoint(
        id=entry.id,
        model=model,
        revision=entry.revision,
        dtype=entry.dtype,
        trust_remote_code=entry.trust_remote_code,
        tokenizer=elsewhere(entry.tokenizer, folder, f"{at}.tokenizer"),
        base=entry.base,
        recipe=entry.recipe,
        series=entry.series,
        **_changes(entry, at, folder),
    )


def _standing(entry: CheckpointKeys, at: str, folder: Path, listed: Mapping[str, Checkpoint]) -> Checkpoint:
    """An entry that changes another checkpoint of the suite on loading: its weights, and `_CHANGES`."""
    _check_id(entry.id, f"{at}.id")
    if entry.base is None:
        raise InputError(f"{at}.model: this key is missing.")
    if entry.base not in listed:
        raise InputError(
            f"{at}.base: there is no checkpoint '{entry.base}'. {nearest(entry.base, list(listed))}"
        )
    other = entry.model_fields_set - {"id", "base", *_CHANGES}
    changes = {key: value for key, value in _changes(entry, at, folder).items() if value is not None}
    if other or not changes:
        problem = f"`{min(other)}` is taken from" if other else "nothing is changed of"
        raise InputError(f"{at}: {problem} its base. Beside `id` and `base` give {', '.join(_CHANGES)}.")
    return listed[entry.base].model_copy(
        update={"id": entry.id, "base": entry.base, "series": None, **changes}
    )


def _changes(entry: CheckpointKeys, at: str, folder: Path) -> dict[str, Any]:
    """What an entry changes of the stored weights on loading."""
    if entry.quantizer is not None:
        try:
            check_name(entry.quantizer)
        except InputError as error:
            raise InputError(f"{at}.quantizer: {error}") from None
    adapter = elsewhere(entry.adapter, folder, f"{at}.adapter")
    return {"adapter": adapter, **{key: getattr(entry, key) for key in _CHANGES[1:]}}
