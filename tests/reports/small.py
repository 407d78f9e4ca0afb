"""A small results folder with fixed numbers: what the golden files and the format tests are made of."""

from pathlib import Path

import pandas as pd
import yaml

from kick.store import Store
from kick.types import TaskInfo
from tests.results import checkpoint_record, diverged_from, write_scores

FACTS = TaskInfo(name="kick_freebaseqa", kind="generation", family="factoid_qa", metric="em", metrics=("em",))
CHOICE = TaskInfo(
    name="kick_mmlu",
    kind="choice",
    family="multiple_choice",
    metric="acc",
    metrics=("acc",),
    chance=0.25,
    shots=5,
)
SUMMARY = TaskInfo(
    name="kick_cnn_dailymail", kind="generation", family="summarization", metric="rougeL", metrics=("rougeL",)
)
TEXT = TaskInfo(
    name="perplexity_wikitext2",
    kind="text",
    family="perplexity",
    metric="nll",
    metrics=("nll", "units"),
    higher_is_better=False,
)
# Of 24 items, those that each checkpoint gets wrong.
WRONG = {"dense": range(0, 6), "rtn-8": range(1, 7), "rtn-4": range(0, 9), "rtn-2": range(0, 23)}
# Nats a token; the reference in batches of another size among them. None: not measured.
KL = {"dense": None, "rtn-8": 0.002, "rtn-4": 0.08, "rtn-2": 5.0, "dense@noise": 3e-6}
NLL = {"dense": 2.70, "rtn-8": 2.705, "rtn-4": 2.80, "rtn-2": 9.40}
# The score of the best answerer without knowledge; on the other tasks it was not measured.
FACTS_FLOOR = 0.125
HOSTILE = (
    "<script>document.title='broken'</script></td></table><img src=x onerror=alert(1)>",
    '=HYPERLINK("https://evil.example","click")',
    r"\input{/etc/passwd} $\frac{1}{0}$ \end{document} 50% & #1 _x_ ~ ^",
    "long " + "x" * 100_000,
    "\u202eright to left\u202c مرحبا بالعالم שלום 🙂👩‍👩‍👧 ]]> --> </script>",
    "| a | b |\n| --- | --- |\n\n# heading\n[link](https://evil.example)",
)


def small_results(path: Path, responses: tuple[str, ...] = ("guess",)) -> Store:
    """Dense and three RTN checkpoints on four tasks; the wrong answers are `responses` in turn.

    Divergence was measured on two of the tasks, the noise floor and the floor of the task on one of these.
    """
    suite = {"name": "small", "reference": "dense", "tasks": [FACTS.name, CHOICE.name, SUMMARY.name]}
    suite["checkpoints"] = [checkpoint_record(name).checkpoint.model_dump(mode="json") for name in WRONG]
    store = Store.create(path, yaml.safe_dump(suite, sort_keys=False))
    for checkpoint, wrong in WRONG.items():
        right = [0.0 if index in wrong else 1.0 for index in range(24)]
        answers = [
            responses[index % len(responses)] if index in wrong else f"answer {index}" for index in range(24)
        ]
        facts = {"em": right, "response": answers, "target": [f"answer {index}" for index in range(24)]}
        margins = [[-1.0, -3.0, -2.5, -4.0] if value else [-3.0, -1.0, -2.5, -4.0] for value in right]
        rise = [0.03 * (index % 5) + 0.002 * (index % 3) * len(wrong) for index in range(10)]
        nll = [NLL[checkpoint] + value for value in rise]
        rouge = [0.25 + 0.01 * (index % 7) - 0.005 * len(wrong) for index in range(24)]
        write_diverged(store, checkpoint, FACTS, pd.DataFrame(facts), FACTS_FLOOR)
        if checkpoint == "dense":
            write_diverged(store, "dense@noise", FACTS, pd.DataFrame(facts), FACTS_FLOOR)
        write_scores(store, checkpoint, CHOICE, pd.DataFrame({"acc": right, "choice_logprobs": margins}))
        write_scores(store, checkpoint, SUMMARY, pd.DataFrame({"rougeL": rouge, "response": answers}))
        write_diverged(store, checkpoint, TEXT, pd.DataFrame({"nll": nll, "units": [2047.0] * 10}))
    return store


def write_diverged(
    store: Store, checkpoint: str, task: TaskInfo, frame: pd.DataFrame, floor: float | None = None
) -> None:
    """Write a cell whose divergence from `dense` was measured, if it is that of a candidate."""
    kl = KL[checkpoint]
    if kl is None:
        write_scores(store, checkpoint, task, frame, floor=floor)
        return
    own = [kl * (0.5 + index % 5 / 4) for index in range(len(frame))]
    same = [0.0 if index % 7 < round(min(12 * kl, 5)) else 1.0 for index in range(len(frame))]
    columns = {"kl": own, "reverse_kl": [1.2 * value for value in own], "same_top": same}
    columns["delta_p"] = [-0.1 * min(value, 1.0) for value in own]
    write_scores(store, checkpoint, task, frame.assign(**columns), divergence=diverged_from(own), floor=floor)
