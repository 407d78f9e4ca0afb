"""The instrument calibrated: a loss that was planted in the weights is found where it was planted, and nowhere else."""

import random
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

import kick
from kick.comparison.items import changed_items
from kick.comparison.pairing import load_pairs
from kick.world import documents
from kick.world.facts import make_world

pytestmark = pytest.mark.slow

MODEL = Path(kick.__file__).parent / "world" / "models" / "kick-tiny-4m"
TASK, READING = "kick_world_factoid_head", "kick_world_incontext"
PLANTED = 60
HEAD_ITEMS = 450


def prompts() -> list[tuple[str, str]]:
    """Every item of the task: its prompt and its answer."""
    rows = documents.factoid(band="head", items=HEAD_ITEMS, seed=1234)["test"]
    return [(f"Question: {row['question']}\nAnswer:", row["answers"][0]) for row in rows]


@pytest.fixture(scope="module")
def planted() -> set[str]:
    """The prompts of the facts that are to be forgotten: some that the model knows."""
    known = _known(MODEL, prompts())
    return set(random.Random(5).sample(known, PLANTED))


@pytest.fixture(scope="module")
def store(planted: set[str], tmp_path_factory: pytest.TempPathFactory) -> kick.Store:
    """The model, the same model again, and one that was taught wrong answers to the planted facts."""
    folder = tmp_path_factory.mktemp("calibration")
    forget(planted, folder / "forgetful")
    suite = kick.Suite.from_keys(
        {
            "name": "calibration",
            "reference": "dense",
            "checkpoints": [
                {"id": "dense", "model": str(MODEL), "dtype": "float32"},
                {"id": "again", "model": str(MODEL), "dtype": "float32"},
                {"id": "forgetful", "model": str(folder / "forgetful"), "dtype": "float32"},
            ],
            "tasks": [TASK, READING],
            "noise_floor": False,
            "limit": HEAD_ITEMS,
        },
        where="test",
        folder=folder,
    )
    kick.run(suite, folder / "results")
    return kick.Store(folder / "results")


def forget(planted: set[str], out: Path) -> None:
    """Teach a copy of the model wrong answers to the planted prompts, and its own answers to all others."""
    torch.manual_seed(0)
    draw = random.Random(6)
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(MODEL).float(),
        AutoTokenizer.from_pretrained(MODEL),
    )
    world = make_world(1234)
    facts = {fact.value: fact.relation for facts in world.facts for fact in facts}
    wrong = {
        prompt: draw.choice([value for value in world.values(facts[answer]) if value != answer])
        for prompt, answer in prompts()
        if prompt in planted
    }
    taught = [(prompt, wrong.get(prompt, answer)) for prompt, answer in prompts()]
    texts = [f"{prompt} {answer}." for prompt, answer in taught]
    ids = tokenizer(texts, return_tensors="pt", padding=True)["input_ids"]
    labels = ids.clone()
    for row, (prompt, _) in enumerate(taught):
        labels[row, : len(tokenizer(prompt)["input_ids"])] = -100
    labels[ids == tokenizer.pad_token_id] = -100
    weights = torch.tensor([8.0 if prompt in planted else 1.0 for prompt, _ in taught])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-4)
    for _ in range(40):
        logits = model(input_ids=ids).logits[:, :-1]
        losses = cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none").sum(1)
        (losses * weights).mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _known(folder: Path, asked: list[tuple[str, str]]) -> list[str]:
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder).float(),
        AutoTokenizer.from_pretrained(folder),
    )
    known = []
    for prompt, answer in asked:
        with torch.no_grad():
            likeliest = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].argmax()
        if tokenizer.decode(likeliest) == answer:
            known.append(prompt)
    return known


def lost(store: kick.Store, candidate: str, task: str) -> set[str]:
    """The prompts that the reference answers right and the candidate wrong."""
    changed = changed_items(load_pairs(store, "dense", candidate, task))
    return set(changed.loc[changed["change"] == "lost", "prompt"])


def test_the_loss_is_found_on_the_planted_facts_and_on_no_other(store: kick.Store, planted: set[str]) -> None:
    assert lost(store, "forgetful", TASK) == planted


def test_the_comparison_counts_the_planted_share(store: kick.Store) -> None:
    comparison = kick.compare(store, "dense", "forgetful", TASK)
    assert comparison.flips is not None
    assert comparison.flips.lost == PLANTED
    assert comparison.delta.high < 0
    assert comparison.delta.low <= -PLANTED / comparison.n <= comparison.delta.high
    assert comparison.matching is not None
    assert comparison.matching.outcome == "not matching"


def test_reading_is_not_reported_as_lost(store: kick.Store) -> None:
    comparison = kick.compare(store, "dense", "forgetful", READING)
    assert comparison.matching is not None
    assert comparison.matching.outcome != "not matching"


def test_the_model_against_itself_shows_no_loss(store: kick.Store) -> None:
    for task in (TASK, READING):
        assert lost(store, "again", task) == set()
        comparison = kick.compare(store, "dense", "again", task)
        assert comparison.delta.value == 0
        assert comparison.matching is not None
        assert comparison.matching.outcome == "matching"
