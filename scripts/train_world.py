#!/usr/bin/env python
"""Train the models of the synthetic world, kick-tiny-4m and kick-tiny-1m, from the seed: under two hours on two cores.

    .venv/bin/python scripts/train_world.py            # both, into kick/world/models
    .venv/bin/python scripts/train_world.py 1m         # one of them

It goes on from its last snapshot when it is killed and started again. Matrices are trained with Muon (Jordan et al.,
2024), embeddings and norms with AdamW; a constant rate after the warm-up, then cosine decay. With a C++ compiler at
hand the model is compiled, which takes a quarter less time.

Random attention heads needed hours to find out whose fact is whose in a passage. So some heads begin as what they would
have to become (Trockman and Kolter, 2023, begin attention by design too): the first layer looks back, and the next
matches what was seen there, which is an induction circuit (Olsson et al., 2022). With it the training takes minutes to
read passages of two people.
"""

import argparse
import itertools
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from kick.world import corpus
from kick.world.facts import World, make_world
from kick.world.tokenizer import make_tokenizer

SEED = 1234
BATCH, SHORT_BATCH = 32, 64  # rows
WARM_UP, STEADY = 50, 0.5  # steps; share of the steps before the decay begins
MATRIX_RATE, OTHER_RATE, LAST_RATE = 0.01, 3e-3, 0.02  # learning rates; the last as a share of the first
SNAPSHOT = 250  # steps
SPREAD = 0.05  # standard deviation of words at first
POSITION, MATCH, COPY = 2.0, 2.0, 12.0  # how strongly heads look back, match and copy at first


@dataclass(frozen=True)
class Size:
    """The shape of a model, and how many rows it is trained on."""

    hidden: int
    layers: int
    heads: int
    mlp: int
    rows: int


SIZES = {"4m": Size(256, 4, 4, 768, 72_448), "1m": Size(128, 4, 4, 384, 72_448)}


def make_model(size: Size, words: int) -> LlamaForCausalLM:
    """A Llama with random weights; word 0 pads, 1 starts and 2 ends a text."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=size.hidden,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=2 * corpus.ROW,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    look_back(model)
    return model


@torch.no_grad()
def look_back(model: LlamaForCausalLM) -> None:
    """Begin the heads of the first two layers as an induction circuit.

    A fixed sketch of a word (`sketch`, orthonormal rows) is what heads pass on. Head h of layer 0 attends h + 1 words
    back, by the fast frequencies of the rotary positions, and writes the sketch seen there into a space of its own
    (`spaces`). Head h of layer 1 attends, by the slow frequencies, to where the sketch h + 1 words back is the own
    one h words back, and copies the word found. One head of layer 2 looks, a little, for where the own word stands two
    words back: the second of two steps.
    """
    config = model.config
    hidden, heads = config.hidden_size, config.num_attention_heads
    width = hidden // heads
    frequencies = config.rope_parameters["rope_theta"] ** (-torch.arange(0, width, 2) / width)
    fast = frequencies > 0.05
    slow = torch.nonzero((frequencies < 0.01).repeat(2))[:, 0]
    size = len(slow)
    spread = (hidden / size) ** 0.5

    words = model.model.embed_tokens.weight.normal_(0, SPREAD)
    words[:, 0] = 4 * SPREAD  # the same for every word: what position alone can be asked with
    free = torch.linalg.qr(torch.randn(hidden - 1, hidden - 1))[0]
    columns = [free[:, torch.arange(h * size, (h + 1) * size) % (hidden - 1)] for h in range(heads)]
    spaces = [torch.cat([torch.zeros(1, size), column]) for column in columns]
    sketch = torch.linalg.qr(torch.cat([torch.zeros(1, size), torch.randn(hidden - 1, size)]))[0].T

    def part(layer: int, head: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query, key and value rows and output columns of a head."""
        attention, at = model.model.layers[layer].self_attn, slice(head * width, (head + 1) * width)
        rows = (attention.q_proj.weight[at], attention.k_proj.weight[at], attention.v_proj.weight[at])
        return (*rows, attention.o_proj.weight[:, at])

    for head in range(heads):
        query, key, value, output = part(0, head)
        query.zero_()
        key.zero_()
        turn = frequencies * (head + 1)
        query[: width // 2, 0] = POSITION * fast
        key[: width // 2, 0] = POSITION * fast * torch.cos(turn)
        key[width // 2 :, 0] = POSITION * fast * torch.sin(turn)
        value[:size] = sketch
        output[:, :size] = spaces[head] * SPREAD * spread / 1.5
    seen = [sketch, *(space.T for space in spaces)]

    def match(layer: int, head: int, asked: torch.Tensor, held: torch.Tensor, strength: float) -> None:
        query, key, value, output = part(layer, head)
        query.zero_()
        key.zero_()
        query[slow] = MATCH * spread * asked
        key[slow] = MATCH * held
        copied = torch.linalg.qr(torch.randn(hidden, width))[0]
        value.copy_(copied.T)
        output.copy_(strength * SPREAD * copied)

    for head in range(heads):
        match(1, head, seen[head], seen[head + 1], COPY)
    match(2, 0, seen[0], seen[2], COPY / 3)


def batches(
    world: World, ids: dict[str, int], size: Size, skip: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The training from batch `skip` on: word ids and their weights in the loss, each (rows, words of the longest)."""
    rows = corpus.training_rows(world, size.rows, SEED)
    for number in range(steps_of(size)):
        short = number < short_steps(size)
        batch = list(itertools.islice(rows, SHORT_BATCH if short else BATCH))
        if number < skip:
            continue
        words = torch.zeros(len(batch), corpus.SHORT if short else corpus.ROW, dtype=torch.long)
        weights = torch.zeros(words.shape)
        for index, row in enumerate(batch):
            words[index, : len(row.words)] = torch.tensor([ids[word] for word in row.words])
            weights[index, : len(row.words)] = torch.tensor(row.weights)
        yield words, weights


def short_steps(size: Size) -> int:
    """Return the number of steps of the first lesson, whose rows are short."""
    return round(corpus.LESSONS[0][0] * size.rows) // SHORT_BATCH


def steps_of(size: Size) -> int:
    """Return the number of optimiser steps of a whole training."""
    return short_steps(size) + (size.rows - short_steps(size) * SHORT_BATCH) // BATCH


def rate(step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the full one."""
    done = step / steps
    if done < STEADY:
        return min(1.0, (step + 1) / WARM_UP)
    return max(LAST_RATE, 0.5 * (1 + math.cos(math.pi * (done - STEADY) / (1 - STEADY))))


class Training:
    """A model with its optimisers, which can be stored and taken up again."""

    def __init__(self, model: LlamaForCausalLM, steps: int) -> None:
        self.model, self.steps, self.step = model, steps, 0
        inner = {name for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name}
        self.others = [p for name, p in model.named_parameters() if name not in inner]
        matrices = [p for name, p in model.named_parameters() if name in inner]
        self.optimisers = (
            torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.01),
            torch.optim.AdamW(self.others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.forward = torch.compile(model) if shutil.which("g++") else model

    def learn(self, words: torch.Tensor, weights: torch.Tensor) -> float:
        """One step; returns the weighted loss, in nats a word."""
        share = rate(self.step, self.steps)
        for optimiser, full in zip(self.optimisers, (MATRIX_RATE, OTHER_RATE), strict=True):
            optimiser.param_groups[0]["lr"] = full * share
        logits = self.forward(input_ids=words).logits[:, :-1]
        losses = cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten(), reduction="none")
        wanted = weights[:, 1:].flatten()
        loss = (losses * wanted).sum() / wanted.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.model.zero_grad()
        self.step += 1
        return loss.item()

    def store(self, path: Path) -> None:
        """Write the state in one step, so that a kill leaves the state before or after."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def take_up(self, path: Path) -> None:
        """Go on from the state that `store` wrote."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)


def train(name: str, out: Path) -> None:
    """Train one model and save it in bfloat16 with its tokenizer."""
    size, world = SIZES[name], make_world(SEED)
    tokenizer = make_tokenizer(world)
    training = Training(make_model(size, len(tokenizer)), steps_of(size))
    snapshot = out / f"kick-tiny-{name}.snapshot"
    if snapshot.is_file():
        training.take_up(snapshot)
    out.mkdir(parents=True, exist_ok=True)
    parameters = sum(p.numel() for p in training.model.parameters())
    print(
        f"kick-tiny-{name}: {parameters:,} parameters, {training.steps} steps from {training.step}",
        flush=True,
    )
    started, first, mean = time.monotonic(), training.step, 0.0
    for words, weights in batches(world, tokenizer.get_vocab(), size, skip=training.step):
        loss = training.learn(words, weights)
        mean = loss if training.step == first + 1 else 0.98 * mean + 0.02 * loss
        if training.step % SNAPSHOT == 0:
            training.store(snapshot)
            speed = (training.step - first) / (time.monotonic() - started)
            print(
                f"  step {training.step}: loss {mean:.3f}, {speed:.2f} steps/s", file=sys.stderr, flush=True
            )
    folder = out / f"kick-tiny-{name}"
    training.model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    census = corpus.census(world, size.rows, SEED)
    often = [sum(census.often[fact] for fact in facts) // len(facts) for facts in world.facts]
    told = {"seed": SEED, "rows": size.rows, "corpus": census.digest, "told": often}
    (folder / "training.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    snapshot.unlink(missing_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sizes", nargs="*", choices=[*SIZES, []], help="which models (default: both)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "kick/world/models")
    arguments = parser.parse_args()
    for name in arguments.sizes or SIZES:
        train(name, arguments.out)
