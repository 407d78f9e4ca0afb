"""A policy file: what a compressed checkpoint may lose, as validated records. `kick.gating.judgement` applies them."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kick.comparison.statistics.multiplicity import Correction
from kick.errors import InputError
from kick.types import Family
from kick.yaml_files import explain, read_yaml

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

# Of a margin, the part that a candidate may lose without being called a regression, if the policy names none.
TOLERATED_PART = 0.5


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Rule(_Keys):
    """The loss that one task, or the mean of a family, may show: a share of the reference's score, or an absolute drop.

    Attributes:
        margin: the loss that a pass excludes, as a share of the reference's score.
        maximum_drop: the same in units of the metric. Give one of the two.
        tolerated: the loss that a regression exceeds, in the unit of the bound that is given.
        metric: the metric that is judged; the one that represents the task when left out.
        minimum_reference: a reference that scores less passes nothing.
    """

    margin: Share | None = None
    maximum_drop: Positive | None = None
    tolerated: NotNegative | None = None
    metric: str | None = None
    minimum_reference: NotNegative | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.margin is not None and self.maximum_drop is not None:
            raise ValueError("give margin or maximum_drop, not both")
        bound = self.margin if self.maximum_drop is None else self.maximum_drop
        if self.tolerated is not None and bound is None:
            raise ValueError("tolerated needs a margin or a maximum_drop beside it")
        _refuse_more(self.tolerated, bound)
        return self


class PerplexityRule(_Keys):
    """The rise of perplexity that is allowed, relative to the reference.

    Attributes:
        maximum_rise: the rise that a pass excludes.
        tolerated: the rise that a regression exceeds; the policy's part of `maximum_rise` when left out.
        required: whether a results folder without a perplexity text is refused. A suite that asks for perplexity
            must have measured it, whatever this says.
    """

    maximum_rise: Positive
    tolerated: NotNegative | None = None
    required: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _refuse_more(self.tolerated, self.maximum_rise)
        return self


class DivergenceRule(_Keys):
    """The divergence from the reference that is allowed: the mean KL per token, in nats.

    Attributes:
        maximum: the divergence that a pass excludes and a regression exceeds.
        required: whether a results folder without a measured divergence is refused.
    """

    maximum: Positive
    required: bool = True


class Policy(_Keys):
    """The keys of a policy file.

    Attributes:
        name: what the policy is called in reports.
        margin: the loss that a pass excludes on every task without a rule of its own, as a share of the
            reference's score.
        tolerated: the loss that a regression exceeds, likewise; half of `margin` when left out. Rules with a bound of
            their own take the same part of theirs.
        alpha: the one-sided level of every test.
        correction: of the tests that show a regression, over all candidates and checks of the results folder.
        minimum_items: fewer items pass nothing. It does not apply to windows of a text.
        minimum_changed: a regression of a task rests on at least this many items whose score changed.
        early_warning: the share of the reference's mean probability of the right answers whose loss is warned of; None:
            no warning. It decides nothing.
        above_chance: whether a reference that is not shown to be above chance passes nothing.
        tasks: rules by task.
        families: rules for the mean over the tasks of a family.
        perplexity: the limit of perplexity; None: perplexity is not judged.
        kl: the limit of divergence; None: divergence is not judged.
        ignore: tasks that are neither judged nor required.
    """

    name: str
    margin: Share = 0.05
    tolerated: NotNegative | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    correction: Correction = "holm"
    minimum_items: Annotated[int, Field(ge=1)] = 100
    minimum_changed: Annotated[int, Field(ge=1)] = 8
    early_warning: Share | None = 0.025
    above_chance: bool = True
    tasks: dict[str, Rule] = Field(default_factory=dict)
    families: dict[Family, Rule] = Field(default_factory=dict)
    perplexity: PerplexityRule | None = None
    kl: DivergenceRule | None = None
    # YAML has lists and no tuples.
    ignore: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _refuse_more(self.tolerated, self.margin)
        return self

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
        data = read_yaml(path)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error, Policy, _BELOW)}") from None

    @property
    def tolerated_part(self) -> float:
        """Return the tolerated loss as a part of the margin, 0..1."""
        return TOLERATED_PART if self.tolerated is None else self.tolerated / self.margin

    def rule(self, task: str) -> Rule:
        """Return the rule of a task, with the bounds of the policy if it has none of its own."""
        return self._bounded(self.tasks.get(task, Rule()))

    def family_rule(self, family: Family) -> Rule:
        """Return the rule of a family, bounded likewise."""
        return self._bounded(self.families[family])

    def _bounded(self, rule: Rule) -> Rule:
        if rule.maximum_drop is not None:
            bound = rule.maximum_drop
        else:
            rule = rule.model_copy(update={"margin": self.margin if rule.margin is None else rule.margin})
            bound = rule.margin or self.margin
        if rule.tolerated is not None:
            return rule
        return rule.model_copy(update={"tolerated": self.tolerated_part * bound})


_BELOW: dict[str, type[BaseModel]] = {
    "tasks": Rule,
    "families": Rule,
    "perplexity": PerplexityRule,
    "kl": DivergenceRule,
}


def _refuse_more(tolerated: float | None, bound: float | None) -> None:
    if tolerated is not None and bound is not None and tolerated > bound:
        raise ValueError(
            f"tolerated ({tolerated:g}) may not exceed the loss that a pass excludes ({bound:g})"
        )
