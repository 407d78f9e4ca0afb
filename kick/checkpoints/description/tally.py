"""Add up what is measured tensor by tensor into the description of a checkpoint, for any kind of file."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from kick.errors import InputError
from kick.types.measures import Description, LinearWeights, StoredAs

# The first number in a name.
_LAYER = re.compile(r"(?<![^.])\d{1,9}(?![^.])")
_MOST_EXPERTS = 100_000


@dataclass
class Tally:
    """The sums over the tensors that were added."""

    parameters: int = 0
    zeros: int = 0
    packed: int = 0
    tensor_bytes: int = 0
    # Values per stored dtype.
    elements: Counter[str] = field(default_factory=Counter)
    linears: list[LinearWeights] = field(default_factory=list)
    # Weights in the experts of a layer, by its name.
    experts: Counter[str] = field(default_factory=Counter)
    expert_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # Groups that break a pattern, and all groups.
    broken: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)

    def add(self, dtype: str, elements: int, size: int, weights: int, zeros: int | None) -> None:
        """Add a stored tensor of `size` bytes; `zeros` is None if it is packed."""
        self.elements[dtype] += elements
        self.tensor_bytes += size
        self.parameters += weights
        self.zeros += zeros or 0
        self.packed += weights if zeros is None else 0

    def add_expert(self, layer: str, expert: str, weights: int) -> None:
        """Add weights that belong to one expert of a layer."""
        self.experts[layer] += weights
        self.expert_ids[layer].add(expert)

    def add_fused_experts(self, layer: str, experts: int, weights: int) -> None:
        """Add weights that belong to all experts of a layer, evenly.

        Raises:
            InputError: there are more experts than any model has.
        """
        if experts > _MOST_EXPERTS:
            raise InputError(
                f"'{layer}' is stored for {experts:,} experts. The export is broken: make it again."
            )
        self.experts[layer] += weights
        self.expert_ids[layer] |= set(map(str, range(experts)))

    def add_groups(self, pattern: str, broken: int, groups: int) -> None:
        """Add groups of weights, of which some break a pattern."""
        self.broken[pattern] += broken
        self.groups[pattern] += groups

    def active(self, experts_per_token: int | None) -> int | None:
        """Return the parameters that a token uses; None if there are experts and how many it uses is not stated."""
        if not self.experts:
            return self.parameters
        if experts_per_token is None:
            return None
        idle = 0.0
        for layer, weights in self.experts.items():
            count = len(self.expert_ids[layer])
            idle += weights * (1 - min(experts_per_token, count) / count)
        return self.parameters - round(idle)

    def describe(
        self,
        architecture: str,
        *,
        bytes_on_disk: int,
        quant_method: str | None,
        experts_per_token: int | None,
        pattern: str | None,
    ) -> Description:
        """Return the description; `pattern` is the recipe's, whose broken groups are reported.

        Raises:
            InputError: no Linears were added.
        """
        if not self.linears:
            raise InputError(
                f"no Linears of decoder blocks among its {sum(self.elements.values()):,} values."
            )
        weights = sum(linear.weights for linear in self.linears)
        zeros = sum(linear.zeros or 0 for linear in self.linears)
        shares = [(linear.zeros or 0) / linear.weights for linear in self.linears]
        linear_bytes = sum(linear.bytes for linear in self.linears)
        patterns = {name: self.broken[name] / groups for name, groups in self.groups.items() if groups}
        return Description(
            architecture=architecture,
            parameters=self.parameters,
            nonzero=self.parameters - self.zeros,
            linear_parameters=weights,
            linear_zeros=zeros,
            sparsity=zeros / weights,
            sparsity_min=min(shares),
            sparsity_max=max(shares),
            bytes_on_disk=bytes_on_disk,
            bits_per_weight=8 * bytes_on_disk / self.parameters,
            stored_dtypes=dict(self.elements),
            quant_method=quant_method,
            packed=self.packed,
            nm_violations=patterns.get(pattern) if pattern else None,
            active=self.active(experts_per_token),
            linear_bytes=linear_bytes,
            linear_bits_per_weight=8 * linear_bytes / weights,
            tensor_bytes=self.tensor_bytes,
            layers=_layers(self.linears),
            patterns=patterns,
            stored_as=_stored_as(self.linears),
        )


def _layers(linears: list[LinearWeights]) -> tuple[float, ...]:
    """Return the sparsity of each decoder layer, by the number in the names."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for linear in linears:
        number = _LAYER.search(linear.name)
        # The number is what makes it a decoder Linear.
        assert number is not None
        layer = sums[int(number[0])]
        layer[0] += linear.zeros or 0
        layer[1] += linear.weights
    return tuple(zeros / weights for _, (zeros, weights) in sorted(sums.items()))


def _stored_as(linears: list[LinearWeights]) -> tuple[StoredAs, ...]:
    """Group Linears by format, dtype, width (to a tenth of a bit) and group size (to a weight)."""
    alike: dict[tuple[object, ...], list[LinearWeights]] = defaultdict(list)
    for linear in linears:
        group = None if linear.group_size is None else round(linear.group_size)
        alike[linear.format, linear.dtype, round(linear.value_bits, 1), group].append(linear)
    kinds = [
        StoredAs(
            format=members[0].format,
            dtype=members[0].dtype,
            value_bits=min(member.value_bits for member in members),
            group_size=members[0].group_size,
            linears=len(members),
            weights=sum(member.weights for member in members),
            bytes=sum(member.bytes for member in members),
        )
        for members in alike.values()
    ]
    return tuple(sorted(kinds, key=lambda stored: -stored.weights))
