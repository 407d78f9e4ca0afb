"""A suite file becomes a validated `Suite`: every mistake is named, with file and key, before a model loads."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kick.errors import InputError, nearest
from kick.suite.catalog import Catalog, read_catalog
from kick.suite.keys import ENTRIES, Chat, CheckpointKeys, Perplexity, SuiteKeys, ThinkingKeys
from kick.suite.model_refs import local_path, parse_folder, parse_model
from kick.suite.series import points
from kick.types import DEFAULT_ENGINE, Checkpoint, FewshotAs, LoadingOptions, Tier
from kick.types.methods import check_rate, validate
from kick.yaml_files import dump_yaml, explain, read_yaml

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OPTIONS = tuple(LoadingOptions.model_fields)
_ENGINE = ("engine", "engine_args")


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
    chat: Chat = "off"
    system: str | None = None
    fewshot_as: FewshotAs = "turns"
    chat_template: str | None = None
    chat_variables: dict[str, bool | int | float | str] = Field(default_factory=dict)
    thinking: ThinkingKeys | None = None
    limit: int | None = None
    seed: int
    nli: str | None = None
    include_path: tuple[str, ...] = ()

    @classmethod
    def read(cls, source: str | Path) -> "Suite":
        """Read a suite file, or a packaged suite by its name.

        Raises:
            InputError: names the file, the key and the nearest valid choice.
        """
        path = Path(source)
        if not path.is_file():
            folder = Path(__file__).parent / "packaged"
            packaged = folder / f"{path.name}.yaml"
            if str(source) != path.name or not packaged.is_file():
                names = sorted(p.stem for p in folder.glob("*.yaml"))
                known = f" Packaged suites: {', '.join(names)}." if names else ""
                raise InputError(f"there is no suite file '{source}'.{known}")
            path = packaged
        data = read_yaml(path)
        if not isinstance(data, dict):
            raise InputError(
                f"{path}: expected the keys of a suite (name, reference, checkpoints, tasks, ...)."
            )
        return cls.from_keys(data, where=str(path), folder=path.parent)

    @classmethod
    def from_keys(cls, data: Mapping[str, Any], *, where: str, folder: Path, strict: bool = True) -> "Suite":
        """Validate the keys of a suite.

        Args:
            data: the keys, as plain data.
            where: their origin, which messages begin with.
            folder: the start of relative paths.
            strict: take no text for a number or a switch; options of the command line are text.

        Raises:
            InputError: names the key and the nearest valid choice.
        """
        try:
            # As JSON, a list is a list of the right type also if types are strict.
            keys = SuiteKeys.model_validate_json(json.dumps(data, default=str), strict=strict)
        except ValidationError as error:
            raise InputError(f"{where}: {explain(error, SuiteKeys, ENTRIES)}") from None
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
        _check_engines(checkpoints, where)
        return cls(
            name=keys.name,
            reference=keys.reference,
            checkpoints=checkpoints,
            tasks=tasks,
            perplexity=keys.perplexity,
            divergence=keys.divergence,
            noise_floor=keys.noise_floor,
            tier=keys.tier,
            chat=keys.chat,
            system=keys.system,
            fewshot_as=keys.fewshot_as,
            chat_template=_template(keys, where, folder),
            chat_variables=keys.chat_variables,
            thinking=keys.thinking,
            limit=keys.limit,
            seed=keys.seed,
            nli=None if keys.nli is None else parse_folder(keys.nli, f"{where}: nli", folder=folder).text,
            include_path=tuple(str(path) for path in include),
        )

    @classmethod
    def ad_hoc(
        cls,
        reference: str,
        candidates: Sequence[str],
        tasks: Sequence[str],
        limit: int | None,
        engine: str | None = None,
    ) -> "Suite":
        """Return a suite without a file: models as a suite takes them, ids from their names.

        Further keys of a checkpoint follow its model: `path/to/dense,quantizer=bnb-nf4`, and arguments of its engine as
        `file.gguf,engine=llama-cpp,engine_args.kv_type=q8_0`.

        Raises:
            InputError: as `from_keys`, or `limit` is not positive.
        """
        entries: list[dict[str, Any]] = []
        for given in (reference, *candidates):
            model, *pairs = [given] if Path(given).expanduser().exists() else given.split(",")
            more: dict[str, Any] = dict(pair.partition("=")[::2] for pair in pairs)
            arguments = {name: more.pop(name) for name in list(more) if name.startswith("engine_args.")}
            place = parse_model(model, "command line", revision=more.get("revision"))
            changes = [more.get("quantizer"), f"kv{more['kv_bits']}" if "kv_bits" in more else None]
            changes += [more.get("engine"), *arguments.values()]
            if arguments:
                more["engine_args"] = {name.partition(".")[2]: value for name, value in arguments.items()}
            name = "-".join([Path(place.name).resolve().name, *filter(None, changes)])
            base = unique = re.sub(r"[^\w.-]", "-", name) or "model"
            while unique in [entry["id"] for entry in entries]:
                unique = f"{base}-{sum(entry['id'].startswith(base) for entry in entries) + 1}"
            entries.append({"id": unique, "model": model, **more})
        name = "-vs-".join(entry["id"] for entry in entries)[:100]
        keys = {"name": name, "reference": entries[0]["id"], "checkpoints": entries, "tasks": list(tasks)}
        if limit is not None:
            keys["limit"] = limit
        if engine is not None:
            keys["engine"] = engine
        return cls.from_keys(keys, where="command line", folder=Path.cwd(), strict=False)

    def with_limit(self, limit: int) -> "Suite":
        """Return the suite with another number of items per task.

        Raises:
            InputError: it is not positive.
        """
        if limit < 1:
            raise InputError(f"--limit: {limit} items cannot be scored. Give 1 or more.")
        return self.model_copy(update={"limit": limit})

    def with_chat(self, chat: str | None, system: str | None) -> "Suite":
        """Return the suite asked in another way; None leaves the suite's own.

        Raises:
            InputError: `chat` is none of auto, on and off; or there is a system message, and no conversation.
        """
        if chat not in (None, *get_args(Chat)):
            raise InputError(f"--chat: '{chat}' is unknown. Give {', '.join(get_args(Chat))}.")
        given = {"chat": chat, "system": system}
        changed = self.model_copy(update={key: value for key, value in given.items() if value is not None})
        if changed.system is not None and changed.chat == "off":
            raise InputError("--system: without a conversation there is no system message. Add --chat on.")
        return changed

    def dump(self) -> str:
        """Return the suite as YAML that can be run again, its series and groups spelt out."""
        data = self.model_dump(mode="json", exclude_none=True)
        data["checkpoints"] = [{"id": entry["id"], **entry} for entry in data["checkpoints"]]
        return dump_yaml(data)

    @property
    def perplexity_tasks(self) -> tuple[str, ...]:
        """The names under which the perplexity texts are scored."""
        return tuple(f"perplexity_{name}" for name in self.perplexity.datasets) if self.perplexity else ()

    def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """Return the checkpoint with this id."""
        return next(checkpoint for checkpoint in self.checkpoints if checkpoint.id == checkpoint_id)

    def select_checkpoints(self, only: str | None) -> tuple[Checkpoint, ...]:
        """Return the checkpoints to score now: all, or the one named by `--only`."""
        ids = [checkpoint.id for checkpoint in self.checkpoints]
        if only is not None and only not in ids:
            raise InputError(f"--only: there is no checkpoint '{only}'. {nearest(only, ids)}")
        return tuple(checkpoint for checkpoint in self.checkpoints if only in (None, checkpoint.id))

    def select_tasks(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks to score now: all, perplexity included, or those named by `--tasks`."""
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


def _template(keys: SuiteKeys, where: str, folder: Path) -> str | None:
    """Return whose chat template counts: the path of a file is absolute."""
    if keys.chat == "off":
        for key in ("system", "chat_template", "chat_variables", "thinking"):
            if getattr(keys, key):
                raise InputError(
                    f"{where}: {key}: it shapes conversations, and there are none. Set chat: auto or on."
                )
    if keys.chat_template in (None, "reference"):
        return keys.chat_template
    path = local_path(str(keys.chat_template), folder)
    if not path.is_file():
        raise InputError(
            f"{where}: chat_template: {path} is not a file. Name a Jinja file, or write `reference`."
        )
    return str(path)


def _checkpoints(keys: SuiteKeys, where: str, folder: Path) -> tuple[Checkpoint, ...]:
    checkpoints: dict[str, Checkpoint] = {}
    changed = [(index, entry) for index, entry in enumerate(keys.checkpoints) if entry.model is None]
    for index, entry in enumerate(keys.checkpoints):
        if entry.model is not None:
            at = f"{where}: checkpoints.{index}"
            _add(checkpoints, _listed(entry, at, folder), f"{at}.id")
    for index, series in enumerate(keys.series):
        at = f"{where}: series.{index}"
        if series.source not in checkpoints:
            raise InputError(
                f"{at}.from: there is no checkpoint '{series.source}'. {nearest(series.source, list(checkpoints))}"
            )
        _check_id(series.series_name, f"{at}.name")
        path = partial(_calibration_data, folder=folder)
        for checkpoint in points(series, checkpoints[series.source], keys.calibration, path, at):
            _add(checkpoints, checkpoint, at)
    for index, entry in changed:
        at = f"{where}: checkpoints.{index}"
        _add(checkpoints, _changed(entry, at, folder, checkpoints), f"{at}.id")
    checkpoints = {name: _with_engine(checkpoint, keys.engine) for name, checkpoint in checkpoints.items()}
    _check_texts(keys, checkpoints.values(), where)
    _check_axes(checkpoints.values(), where)
    return tuple(checkpoints.values())


def _with_engine(checkpoint: Checkpoint, default: str | None) -> Checkpoint:
    """Return the checkpoint with the suite's engine, if it names none; torch is what no name means."""
    engine = checkpoint.engine or default
    return checkpoint.model_copy(update={"engine": None if engine == DEFAULT_ENGINE else engine})


def _check_engines(checkpoints: Sequence[Checkpoint], where: str) -> None:
    """Refuse what an engine other than torch does not do to weights, and a comparison of weights with themselves."""
    known = {checkpoint.id for checkpoint in checkpoints}
    for checkpoint in checkpoints:
        at = f"{where}: checkpoint '{checkpoint.id}'"
        if checkpoint.engine is None and checkpoint.engine_args:
            raise InputError(
                f"{at}: engine_args: the engine torch takes no arguments. Name another `engine`."
            )
        if checkpoint.engine is not None and (given := checkpoint.options.given):
            raise InputError(
                f"{at}: `{min(given)}` changes weights while torch loads them, and its engine is {checkpoint.engine}, "
                "which runs the model as it is stored. Remove one of the two keys."
            )
        if checkpoint.weights_of is not None and checkpoint.weights_of not in known - {checkpoint.id}:
            raise InputError(
                f"{at}: weights_of: there is no other checkpoint '{checkpoint.weights_of}'. "
                f"{nearest(checkpoint.weights_of, sorted(known - {checkpoint.id}))}"
            )


def _calibration_data(data: str, folder: Path) -> str:
    """Return the name of a data set as it is, and a file by its path."""
    local = local_path(data, folder)
    return str(local) if local.is_file() else data


def _check_texts(keys: SuiteKeys, checkpoints: Iterable[Checkpoint], where: str) -> None:
    """Refuse to measure perplexity on the text that a method was calibrated on."""
    steps = [step for checkpoint in checkpoints if checkpoint.recipe for step in checkpoint.recipe.steps]
    texts = {step.calibration.data for step in steps if step.calibration}
    if keys.perplexity and "c4" in keys.perplexity.datasets and "c4_validation" in texts:
        raise InputError(
            f"{where}: calibration: 'c4_validation' is the text that perplexity is measured on by 'c4'. Calibrate on "
            "'c4', its training split, or measure on another text."
        )


def _check_axes(checkpoints: Iterable[Checkpoint], where: str) -> None:
    """Refuse a series whose points are at rates of different kinds."""
    members: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        step = checkpoint.recipe or checkpoint.declared
        if checkpoint.series is None or step is None:
            continue
        first = members.setdefault(checkpoint.series, checkpoint)
        other = first.recipe or first.declared
        if other is not None and other.axis != step.axis:
            raise InputError(
                f"{where}: the series '{checkpoint.series}' has a point by {other.axis} ({first.id}) and one by "
                f"{step.axis} ({checkpoint.id}). Give one of them another `series`."
            )


def _check_id(name: str, at: str) -> None:
    if not _ID.fullmatch(name):
        raise InputError(f"{at}: '{name}' cannot name a folder. Use letters, digits, '.', '_' and '-'.")


def _add(checkpoints: dict[str, Checkpoint], checkpoint: Checkpoint, at: str) -> None:
    if checkpoint.id in checkpoints:
        raise InputError(
            f"{at}: the id '{checkpoint.id}' is taken. Give the entry another `id`, or the series a `name`."
        )
    checkpoints[checkpoint.id] = checkpoint


def _listed(entry: CheckpointKeys, at: str, folder: Path) -> Checkpoint:
    """Return the checkpoint of an entry with a model of its own."""
    _check_id(entry.id, f"{at}.id")
    if entry.series is not None:
        _check_id(entry.series, f"{at}.series")
    assert entry.model is not None
    model = parse_model(entry.model, f"{at}.model", revision=entry.revision, folder=folder)
    tokenizer = entry.tokenizer
    if tokenizer is not None:
        tokenizer = parse_folder(tokenizer, f"{at}.tokenizer", folder=folder).text
    try:
        if entry.recipe is not None:
            validate(entry.recipe)
        if entry.declared is not None:
            check_rate(entry.declared)
    except InputError as error:
        raise InputError(f"{at}.{'recipe' if entry.recipe else 'declared'}: {error}") from None
    if entry.recipe is not None and entry.declared is not None:
        raise InputError(
            f"{at}.declared: kick makes this checkpoint by its `recipe`. Remove one of the two keys."
        )
    return Checkpoint(
        id=entry.id,
        model=model.name,
        revision=model.revision,
        dtype=entry.dtype,
        trust_remote_code=entry.trust_remote_code,
        tokenizer=tokenizer,
        base=entry.base,
        recipe=entry.recipe,
        declared=entry.declared,
        series=entry.series,
        engine=entry.engine,
        engine_args=entry.engine_args,
        weights_of=entry.weights_of,
        **_options(entry, at, folder).model_dump(),
    )


def _changed(
    entry: CheckpointKeys, at: str, folder: Path, checkpoints: Mapping[str, Checkpoint]
) -> Checkpoint:
    """Return the checkpoint of an entry without a model: another one with other loading options or another engine."""
    _check_id(entry.id, f"{at}.id")
    if entry.base is None:
        raise InputError(f"{at}.model: this key is missing.")
    if entry.base not in checkpoints:
        raise InputError(
            f"{at}.base: there is no checkpoint '{entry.base}'. {nearest(entry.base, list(checkpoints))}"
        )
    other = entry.model_fields_set - {"id", "base", *_OPTIONS, *_ENGINE}
    options: dict[str, Any] = _options(entry, at, folder).given
    if entry.engine is not None:
        options |= {"engine": entry.engine, "engine_args": entry.engine_args}
    elif entry.engine_args is not None:
        options["engine_args"] = entry.engine_args
    if other or not options:
        problem = f"`{min(other)}` is taken from" if other else "nothing is changed of"
        keys = ", ".join((*_OPTIONS, *_ENGINE))
        raise InputError(f"{at}: {problem} its base. Besides `id` and `base` give {keys}.")
    changes = {"id": entry.id, "base": entry.base, "series": None, **options}
    return checkpoints[entry.base].model_copy(update=changes)


def _options(entry: CheckpointKeys, at: str, folder: Path) -> LoadingOptions:
    """Return the loading options of an entry, with the path of a local adapter."""
    options = LoadingOptions(**{name: getattr(entry, name) for name in _OPTIONS})
    if options.adapter is None:
        return options
    adapter = parse_folder(options.adapter, f"{at}.adapter", folder=folder)
    return options.model_copy(update={"adapter": adapter.text})
