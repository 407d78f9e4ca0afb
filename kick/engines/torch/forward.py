"""One forward pass over packed rows: prefixes from a cache, trees through an attention mask, final states out."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, get_layer_types_and_kwargs

from kick.checkpoints.kv_cache import attends_by_sdpa
from kick.engines.torch.batching import Row, straight
from kick.engines.torch.head import find_head
from kick.types import Tier

Mask = torch.Tensor | dict[str, torch.Tensor]
KeysAndValues = tuple[torch.Tensor, torch.Tensor]


class UnsupportedTierError(Exception):
    """A model's attention cannot be driven in the way that a tier needs."""


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a prefix: a pair of tensors [1, heads, tokens, d] per layer."""

    tokens: int
    layers: tuple[KeysAndValues, ...]


NOTHING = Prefix(0, ())


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """The `length` keys and values that one layer's attention has before the tokens that it is given."""

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int) -> None:
        super().__init__()
        self.keys, self.values, self.length, self.is_initialized = keys, values, length, True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to be initialised."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1


class _BehindPrefix(_Layer):
    """Put the keys and values of a prefix before those of every row, and keep the latter apart as `fresh`."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, keep: bool) -> None:
        super().__init__(keys, values, keys.shape[-2])
        self.keep = keep
        self.fresh: KeysAndValues | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> KeysAndValues:
        if self.keep:
            self.fresh = key_states, value_states
        rows = len(key_states)
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )


class _SlotLayer(_Layer):
    """Write the keys and values of one new token of each row at the row's own position, in place."""

    def __init__(
        self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor, length: int
    ) -> None:
        super().__init__(keys, values, length)
        self.positions = positions

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> KeysAndValues:
        rows = torch.arange(len(key_states), device=key_states.device)
        self.keys[rows, :, self.positions] = key_states[:, :, 0]
        self.values[rows, :, self.positions] = value_states[:, :, 0]
        return self.keys[: len(rows), :, : self.length + 1], self.values[: len(rows), :, : self.length + 1]


class Slots:
    """Keys and values of growing rows: two buffers [count, heads, columns, d] for each layer, column by position."""

    def __init__(self, count: int, columns: int) -> None:
        self.count, self.columns = count, columns
        self.layers: list[KeysAndValues] = []

    def put(self, slot: int, prefix: Prefix, fresh: Sequence[KeysAndValues], row: int, tokens: int) -> None:
        """Fill a slot with a prefix and the first `tokens` columns of a row of `fresh`, a pair for each layer."""
        if not self.layers:
            self.layers = [(self._buffer(keys), self._buffer(values)) for keys, values in fresh]
        end = prefix.tokens + tokens
        for layer, pair in enumerate(self.layers):
            for which, buffer in enumerate(pair):
                if prefix.tokens:
                    buffer[slot, :, : prefix.tokens] = prefix.layers[layer][which][0]
                buffer[slot, :, prefix.tokens : end] = fresh[layer][which][row, :, :tokens]

    def move(self, source: int, target: int) -> None:
        """Copy what one slot holds into another."""
        for pair in self.layers:
            for buffer in pair:
                buffer[target] = buffer[source]

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        """Return zeros: what is not yet written must be finite, since masked values are multiplied by 0."""
        return like.new_zeros(self.count, like.shape[1], self.columns, like.shape[3])


class Masks:
    """Attention masks as a model's layers take them: the keys that a query may see, by their positions.

    Raises:
        UnsupportedTierError: layers attend in another way than to all that precedes or to a window of it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config(decoder=True)
        kinds, settings = get_layer_types_and_kwargs(config)
        if not set(kinds) <= {"full_attention", "sliding_attention"}:
            raise UnsupportedTierError(f"layers of the kind {sorted(set(kinds))}")
        attention = model.config._attn_implementation
        if attention != "eager" and not attends_by_sdpa(attention):
            raise UnsupportedTierError(f"the attention implementation '{attention}'")
        self.windows = {
            kind: settings["sliding_window"] if kind == "sliding_attention" else None for kind in set(kinds)
        }
        self.additive = attention == "eager"
        self.dtype = model.dtype

    def __call__(self, seen: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor) -> Mask:
        """Return masks for `seen` [rows, queries, keys] (bool) and the positions of queries and keys [rows, n]."""
        masks = {}
        for kind, window in self.windows.items():
            near = seen
            if window is not None:
                near = seen & (queries[:, :, None] - keys[:, None, :] < window)
            masks[kind] = self._as_taken(near[:, None])
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _as_taken(self, seen: torch.Tensor) -> torch.Tensor:
        if not self.additive:
            return seen
        return torch.zeros(seen.shape, dtype=self.dtype, device=seen.device).masked_fill_(
            ~seen, torch.finfo(self.dtype).min
        )


class Forward:
    """Runs packed rows through a model by one tier.

    `head` turns the states that it returns into logits.

    Raises:
        UnsupportedTierError: the model's attention cannot be driven as `tree` needs.
    """

    def __init__(self, model: PreTrainedModel, tier: Tier) -> None:
        self.model = model
        self.head = find_head(model)
        self._last: tuple[tuple[int, ...], Prefix] | None = None
        self.masks = Masks(model) if tier == "tree" else None
        self._takes_positions = "position_ids" in inspect.signature(model.base_model.forward).parameters

    def prefix(self, tokens: Sequence[int]) -> Prefix:
        """Return the keys and values of a prefix; those of the last one are kept.

        Raises:
            UnsupportedTierError: the model keeps no keys and values, or takes no positions.
        """
        if not tokens:
            return NOTHING
        if self._last is None or self._last[0] != tuple(tokens):
            self._last = None
            self._last = tuple(tokens), Prefix(len(tokens), self.prefill([straight(tokens)])[1])
        return self._last[1]

    def states(self, rows: Sequence[Row], prefix: Prefix = NOTHING) -> torch.Tensor:
        """Return the final states [rows, tokens of the longest row, d]; those behind a row's end mean nothing."""
        layers = [_BehindPrefix(*layer, keep=False) for layer in prefix.layers]
        return self._run(rows, prefix.tokens, Cache(layers=layers) if layers else None)

    def prefill(
        self, rows: Sequence[Row], prefix: Prefix = NOTHING
    ) -> tuple[torch.Tensor, tuple[KeysAndValues, ...]]:
        """Return the same, and the keys and values [rows, heads, tokens of the longest row, d] per layer."""
        if prefix.tokens:
            layers = [_BehindPrefix(*layer, keep=True) for layer in prefix.layers]
            states = self._run(rows, prefix.tokens, Cache(layers=layers))
            return states, tuple(layer.fresh for layer in layers if layer.fresh is not None)
        cache = DynamicCache()
        states = self._run(rows, 0, cache)
        if not cache.layers or any(layer.get_seq_length() != states.shape[1] for layer in cache.layers):
            raise UnsupportedTierError("layers that do not keep all keys and values")
        return states, tuple((layer.keys, layer.values) for layer in cache.layers)

    def step(
        self, tokens: Sequence[int], positions: Sequence[int], slots: Sequence[KeysAndValues]
    ) -> torch.Tensor:
        """Return the final states [rows, d] of one further token per row, and write its keys and values into its slot.

        Args:
            tokens: one token per row.
            positions: the positions of the tokens; the keys and values of row i are in slot i, column by position.
            slots: a pair of buffers [slots, heads, columns, d] per layer.
        """
        assert self.masks is not None
        last = max(positions)
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        at = torch.tensor(positions, device=self.model.device)
        columns = torch.arange(last + 1, device=self.model.device).expand(len(tokens), -1)
        seen = columns[:, None, :] <= at[:, None, None]
        return self.head.states(
            self.model,
            input_ids=ids,
            position_ids=at[:, None],
            attention_mask=self.masks(seen, at[:, None], columns),
            past_key_values=Cache(layers=[_SlotLayer(*layer, at, last) for layer in slots]),
            use_cache=True,
        )[:, 0]

    def _run(self, rows: Sequence[Row], before: int, cache: Cache | None) -> torch.Tensor:
        ids, depths = _padded(rows)
        inputs: dict[str, Any] = {"input_ids": ids.to(self.model.device)}
        branched = any(len(row.branches) > 1 for row in rows)
        if cache is not None:
            inputs.update(past_key_values=cache, use_cache=True)
        if before or branched:
            if not self._takes_positions:
                raise UnsupportedTierError("a model whose positions cannot be given")
            inputs["position_ids"] = (depths + before).to(self.model.device)
            if self.masks:
                inputs["attention_mask"] = self._tree_mask(rows, depths, before)
        return self.head.states(self.model, **inputs)

    def _tree_mask(self, rows: Sequence[Row], depths: torch.Tensor, before: int) -> Mask:
        assert self.masks is not None
        device = self.model.device
        width = depths.shape[1]
        seen = torch.zeros((len(rows), width, before + width), dtype=torch.bool)
        seen[:, :, :before] = True
        for own, row in zip(seen[:, :, before:], rows, strict=True):
            _see_ancestors(own, row)
        positions = depths + before
        keys = torch.cat([torch.arange(before).expand(len(rows), -1), positions], dim=1)
        return self.masks(seen.to(device), positions.to(device), keys.to(device))


def _padded(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and depths [rows, longest row]; padding repeats token 0 at depth 0."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    depths = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row.tokens)] = torch.tensor(row.tokens)
        depths[index, : len(row.tokens)] = torch.tensor(row.depths)
    return ids, depths


def _see_ancestors(seen: torch.Tensor, row: Row) -> None:
    """Let every token of a row see itself and what precedes it on its path; padding sees itself alone."""
    seen.fill_diagonal_(True)
    ends = [branch.start for branch in row.branches[1:]] + [len(row.tokens)]
    for branch, end in zip(row.branches, ends, strict=True):
        length = end - branch.start
        if branch.parent >= 0:
            seen[branch.start : end] |= seen[branch.parent]
        seen[branch.start : end, branch.start : end] = torch.ones(length, length, dtype=torch.bool).tril()
