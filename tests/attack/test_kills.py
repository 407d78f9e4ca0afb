"""A process that is killed while it writes results: the same command goes on, to results equal to an unbroken run's."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kick.files import is_temporary, temporary_path
from kick.store import Store
from kick.store.verification import inspect
from tests.data_root import make_data_root
from tests.store.folders import tree

# What a run does to a results folder, without a model: it resumes from records, cells and journals.
WRITER = """
import sys
from pathlib import Path
import pandas as pd
from kick.store import Journal, Store
from tests.results import binary_task, checkpoint_record, write_scores

print("started", flush=True)
store = Store.create(Path(sys.argv[1]), "name: killed\\nreference: dense\\ntasks: [facts]\\n")
for checkpoint in ("dense", "a", "b", "c"):
    with store.lock(checkpoint):
        if store.cell(checkpoint, "facts"):
            continue
        store.write_checkpoint(store.checkpoint(checkpoint) or checkpoint_record(checkpoint))
        journal = Journal(store.journal_path(checkpoint, "0123456789abcdef"), "0123456789abcdef")
        answered = journal.read()
        for row in range(200):
            if row not in answered:
                journal.append([row], [float(row % 3 == 0)])
        scores = [journal.read()[row] for row in range(200)]
        write_scores(store, checkpoint, binary_task(), pd.DataFrame({"em": scores}))
        journal.path.unlink()
"""


def _write(folder: Path, after: float | None) -> int:
    """Run the writer, and kill it so many seconds after it started; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    if after is not None:
        time.sleep(after)
        process.kill()
    return process.wait()


def _results(folder: Path) -> dict[str, str]:
    return {name: sha for name, sha in tree(folder).items() if not name.startswith("locks/")}


@pytest.mark.slow
def test_results_after_many_kills_are_those_of_an_unbroken_run(tmp_path: Path) -> None:
    started = time.monotonic()
    assert _write(tmp_path / "whole", None) == 0
    lasted = time.monotonic() - started
    draw = random.Random(5)
    for _ in range(20):
        assert _write(tmp_path / "killed", draw.uniform(0, lasted / 3)) in (-signal.SIGKILL, 0)
        if (tmp_path / "killed" / "suite.yaml").exists():
            assert all(finding.kind != "broken" for finding in inspect(Store(tmp_path / "killed")))
    assert _write(tmp_path / "killed", None) == 0
    assert _results(tmp_path / "killed") == _results(tmp_path / "whole")


def test_a_run_that_was_killed_at_its_first_write_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (folder / "locks").mkdir(parents=True)
    temporary = temporary_path(folder / "suite.yaml")
    gone = temporary.with_name(temporary.name.replace(f"-{temporary.name.split('-')[1]}-", "-999999999-"))
    gone.write_text("name: te")
    store = Store.create(folder, "name: test\n")
    assert store.suite() == {"name": "test"}
    assert not any(is_temporary(path) for path in folder.rglob("*"))


@pytest.mark.slow
def test_a_suite_that_is_killed_at_random_times_has_the_items_of_an_unbroken_run(
    tiny_llama: Path, tmp_path: Path
) -> None:
    suite = {
        "name": "test",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(tiny_llama)}],
        "series": [{"from": "dense", "method": "rtn", "bits": [4], "group_size": 16}],
        "tasks": ["kick_mmlu", "kick_squad"],
        "limit": 3,
        "noise_floor": False,
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    options = [
        "--data-root",
        str(make_data_root(tmp_path / "data")),
        "--cache",
        str(tmp_path / "cache"),
        "--json",
    ]
    command = [sys.executable, "-m", "kick", "run", str(tmp_path / "suite.yaml"), *options, "--results"]
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    lasted = time.monotonic() - started
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    draw = random.Random(7)
    for _ in range(5):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(lasted / 3, lasted))
        process.kill()
        process.wait()
    done = subprocess.run([*command, str(tmp_path / "killed")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["results"].endswith("killed")
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    assert inspect(killed) == []
    for one, other in zip(whole.cells(), killed.cells(), strict=True):
        assert one.key == other.key
        pd.testing.assert_frame_equal(whole.items(one), killed.items(other))
