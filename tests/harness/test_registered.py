"""kick's model class inside plain lm-eval."""

from pathlib import Path

import lm_eval
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer

import kick.harness.registered  # noqa: F401
from kick.errors import InputError
from kick.harness.tasks import load_tasks
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root


def test_lm_eval_finds_the_model_by_its_name_and_scores_as_with_its_own(
    tiny_llama: Path, tmp_path: Path
) -> None:
    names = ["kick_mmlu", "kick_squad"]
    tasks = [task.task for task in load_tasks(names, read_catalog(), data_root=make_data_root(tmp_path))]
    settings = {"tasks": tasks, "limit": 3, "bootstrap_iters": 0, "batch_size": 2}
    settings["task_manager"] = TaskManager(include_defaults=False)
    own = HFLM(
        pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2, softmax_dtype=torch.float32
    )
    arguments = f"pretrained={tiny_llama},dtype=float32"
    ours = lm_eval.simple_evaluate(model="kick", model_args=arguments, device="cpu", **settings)
    theirs = lm_eval.simple_evaluate(model=own, **settings)
    for name in names:
        ours_by_item, theirs_by_item = (
            {s["doc_id"]: s for s in results["samples"][name]} for results in (ours, theirs)
        )
        assert ours_by_item.keys() == theirs_by_item.keys()
        for item, sample in theirs_by_item.items():
            if name == "kick_squad":
                stripped = [text.lstrip() for text in sample["filtered_resps"]]
                assert ours_by_item[item]["filtered_resps"] == stripped
            else:
                values = [value for value, _ in ours_by_item[item]["filtered_resps"]]
                assert values == pytest.approx([value for value, _ in sample["filtered_resps"]], abs=1e-4)


def test_an_unknown_tier_is_an_error(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match="tier 'fast' is unknown"):
        get_model("kick")(pretrained=str(tiny_llama), tier="fast")


def test_a_text_is_scored_by_rolling_windows_as_by_lm_eval(tiny_llama: Path) -> None:
    texts = ["the answer to the question is in the text. " * 300, "Lake Odde"]
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    ours = get_model("kick")(pretrained=str(tiny_llama), dtype="float32")
    theirs = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32")
    assert ours.loglikelihood_rolling(requests) == pytest.approx(
        theirs.loglikelihood_rolling(requests, disable_tqdm=True), rel=1e-5
    )


def test_a_chat_is_rendered_by_the_checkpoint_s_own_template(folder: Path) -> None:
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    lm = get_model("kick")(pretrained=str(folder), tier="plain")
    assert lm.apply_chat_template([{"role": "user", "content": "Who?"}]) == "<user>Who?<assistant>"
    assert lm.chat_template(True) == template
