"""What libraries print of their own accord is silenced: in a process of its own, as they read its environment."""

import subprocess
import sys

NOISE = """
import warnings
from kick.quiet import quiet_libraries
for again in range(2000):
    quiet_libraries()
import logging
from tqdm import tqdm as plain
from tqdm.auto import tqdm
list(tqdm(range(3), desc="a bar"))
list(tqdm(range(3), desc="a bar that is told to be drawn", disable=False))
with plain(total=2, disable=False) as bar, plain(total=2, disable=False, position=1) as inner:
    bar.update(2)
    inner.set_postfix(of=2)
logging.getLogger("bitsandbytes.autograd").warning("inputs will be cast")
logging.getLogger("bitsandbytes").error("a library that fails")
"""

BLOCK = """
from tqdm import tqdm
from kick.quiet import without_bars
for again in range(2000):
    with without_bars():
        list(tqdm(range(3), desc="within", disable=False))
list(tqdm(range(3), desc="after", disable=False))
"""


def test_bars_and_warnings_of_libraries_are_silent_and_their_errors_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "a library that fails\n")


def test_bars_of_a_caller_come_back_after_a_block_without() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True, check=True)
    assert "within" not in done.stderr
    assert "after: 100%" in done.stderr
