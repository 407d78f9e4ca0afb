"""The keys of a suite file, as a user writes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kick.types import Dtype, EngineArgument, FewshotAs, LoadingOptions, Recipe, Step, Tier

# Ask in the turns of a conversation; auto: the tasks whose answers are generated, if the reference has a chat template.
Chat = Literal["auto", "on", "off"]
PerplexityDataset = Literal["wikitext2", "wikitext2_words", "c4", "world"]


class Keys(BaseModel):
    """Keys of a file that a user writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class CalibrationKeys(Keys):
    """`calibration`, of a suite or of one of its series: the text that methods look at."""

    data: str
    samples: Annotated[int, Field(ge=1)] = 128
    length: Annotated[int, Field(ge=2)] = 2048
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)


def _named(given: Any) -> Any:
    return {"data": given} if isinstance(given, str) else given


class SeriesKeys(Keys):
    """An entry of `series`: every rate becomes a checkpoint named `<name>-<rate>`."""

    source: str = Field(alias="from")
    method: str
    # Default: the method, and the pattern if there is one.
    name: str | None = None
    sparsity: tuple[float, ...] | None = Field(default=None, min_length=1)
    bits: tuple[int, ...] | None = Field(default=None, min_length=1)
    rank: tuple[float, ...] | None = Field(default=None, min_length=1)
    layers: tuple[int | tuple[int, ...], ...] | None = Field(default=None, min_length=1)
    pattern: str | None = None
    group_size: int | None = None
    symmetric: bool = True
    calibration: Annotated[CalibrationKeys | None, BeforeValidator(_named)] = None

    @property
    def series_name(self) -> str:
        """The name of the series."""
        pattern = f"-{self.pattern.replace(':', 'of')}" if self.pattern else ""
        return self.name or f"{self.method}{pattern}"


class CheckpointKeys(Keys, LoadingOptions):
    """An entry of `checkpoints`. The loading options are keys of it."""

    id: str
    # None: that of `base`.
    model: str | None = None
    revision: str | None = None
    dtype: Dtype = "auto"
    trust_remote_code: bool = False
    # Default: that of the model's folder.
    tokenizer: str | None = None
    # Without `model`: the checkpoint that the entry changes on loading.
    base: str | None = None
    # How another tool made the model: its rate is the checkpoint's place in `series`.
    declared: Step | None = None
    series: str | None = None
    # With `base`: how kick makes the checkpoint, as a results folder keeps the points of a series.
    recipe: Recipe | None = None
    # What computes; default: the suite's engine.
    engine: str | None = None
    # The arguments of the engine.
    engine_args: dict[str, EngineArgument] | None = None
    # The checkpoint whose weights the model holds in another format, such as the GGUF file of a reference.
    weights_of: str | None = None


class ThinkingKeys(Keys):
    """`thinking`: how a model marks its thoughts, which are not its answer."""

    end: Annotated[str, Field(min_length=1)] = "</think>"
    budget: Annotated[int, Field(ge=1)]
    start: Annotated[str, Field(min_length=1)] = "<think>"


class Perplexity(Keys):
    """The measurement of perplexity: windows of `window` tokens, the first `windows` of them (all if left out).

    The items of `wikitext2_words` are pages, over which windows of that length roll.
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
    # For every series whose method looks at data.
    calibration: CalibrationKeys | None = None
    tasks: tuple[str, ...] = ()
    perplexity: Perplexity | None = None
    # Measure how far the candidates' distributions are from the reference's.
    divergence: bool = False
    # Score the reference again in other batches: what a difference must exceed.
    noise_floor: bool = True
    # The scoring path; auto: the fastest that is right for the reference.
    tier: Tier | Literal["auto"] = "auto"
    chat: Chat = "off"
    # The system message of conversations.
    system: str | None = None
    fewshot_as: FewshotAs = "turns"
    # Whose template counts: "reference", or a file. Default: each checkpoint's own, which must be the reference's.
    chat_template: str | None = None
    # Further variables of the template.
    chat_variables: dict[str, bool | int | float | str] = Field(default_factory=dict)
    thinking: ThinkingKeys | None = None
    # What computes, for every checkpoint that names no engine of its own.
    engine: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    seed: int = 1234
    # The model of natural language inference that judges whether summaries follow from their articles.
    nli: str | None = None
    # Folders with further lm-eval task YAML.
    include_path: tuple[str, ...] = ()


# The keys of entries, by the key that holds them.
ENTRIES: dict[str, type[BaseModel]] = {
    "checkpoints": CheckpointKeys,
    "series": SeriesKeys,
    "calibration": CalibrationKeys,
    "perplexity": Perplexity,
    "thinking": ThinkingKeys,
    "declared": Step,
    "recipe": Recipe,
}
