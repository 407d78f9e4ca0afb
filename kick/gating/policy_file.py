"""A policy file: what a compressed checkpoint may lose, as validated records. `kick.gating.policy` judges by them."""

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kick.comparison.statistics.multiplicity import Correction
from kick.errors import InputError, explain
from kick.types import Family

Share = Annotated[float, Field(gt=0, lt=1)]


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Keys):
    """What one task, or the mean of a family, may lose: a share of the reference's score, or an absolute
    drop.
    """

    margin: Share | None = None
    maximum_drop: Annotated[float, Field(gt=0)] | None = None  # in units of the metric
    metric: str | None = None  # default: the one that stands for the task; better in the same direction
    minimum_reference: float | None = None  # a reference that scores less passes nothing

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.margin is not None and self.maximum_drop is not None:
            raise ValueError("give margin or maximum_drop, not both")
        return self


class PerplexityRule(_Keys):
    """How far perplexity may rise, relative to the reference."""

    maximum_rise: Annotated[float, Field(gt=0)]


class DivergenceRule(_Keys):
    """How far the candidate may diverge from the reference: mean KL a token, in nats."""

    maximum: Annotated[float, Field(gt=0)]


class Policy(_Keys):
    """The keys of a policy file."""

    name: str
    margin: Share = 0.05  # for every task without a rule of its own
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05  # one-sided
    correction: Correction = "holm"
    minimum_items: Annotated[int, Field(ge=1)] = 100  # fewer pass nothing; not asked of windows of a text
    above_chance: bool = True
    tasks: dict[str, Rule] = Field(default_factory=dict)
    families: dict[Family, Rule] = Field(default_factory=dict)
    perplexity: PerplexityRule | None = None
    kl: DivergenceRule | None = None
    ignore: tuple[str, ...] = ()  # tasks that are not checked

    @classmethod
    def read(cls, source: str | Path) -> "Policy":
        """Read a policy file, or a packaged policy by its name.

        Raises:
            InputError: names the file, the key and what is wrong with it.
        """
        path = Path(source)
        if not path.is_file():
            packaged = Path(__file__).parent / "packaged"
            path = packaged / f"{source}.yaml"
            if not path.is_file():
                names = ", ".join(sorted(file.stem for file in packaged.glob("*.yaml")))
                raise InputError(f"there is no policy file '{source}'. Packaged policies: {names}.")
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as YAML: {error}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error, Policy, _BELOW)}") from None

    def rule(self, task: str) -> Rule:
        """The rule of a task, with the policy's margin where it has no bound of its own."""
        return self._bounded(self.tasks.get(task, Rule()))

    def family_rule(self, family: Family) -> Rule:
        """The rule of a family, bounded likewise."""
        return self._bounded(self.families[family])

    def _bounded(self, rule: Rule) -> Rule:
        if rule.margin is None and rule.maximum_drop is None:
            return rule.model_copy(update={"margin": self.margin})
        return rule


_BELOW: dict[str, type[BaseModel]] = {
    "tasks": Rule,
    "families": Rule,
    "perplexity": PerplexityRule,
    "kl": DivergenceRule,
}
