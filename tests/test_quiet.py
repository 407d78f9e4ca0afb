"""What libraries print of their own accord is silenced: in a process of its own, as they read its environment."""

import subprocess
import sys

NOISE = """
import warnings
from kick.quiet import quiet_libraries
quiet_libraries()
import logging
from tqdm import tqdm as plain
from tqdm.auto import tqdm
list(tqdm(range(3), desc="a bar"))
list(tqdm(range(3), desc="a bar that is told to be drawn", disable=False))
with plain(total=2, disable=False) as bar:
    bar.update(2)
logging.getLogger("bitsandbytes.autograd").warning("inputs will be cast")
warnings.warn("Attempting to save a model with offloaded modules. Ensure that memory suffices.")
logging.getLogger("bitsandbytes").error("a library that fails")
"""


def test_bars_and_warnings_of_libraries_are_silent_and_their_errors_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr.strip()) == ("", "a library that fails")
