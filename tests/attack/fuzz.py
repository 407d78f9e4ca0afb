"""Damage each file of a model folder at random, and count how its readers answer: a result, or one message.

python -m tests.attack.fuzz [MUTATIONS [KIND ...]] > fuzz.md        (1,000 of every kind by default)
"""

import multiprocessing
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kick.checkpoints import converted, fingerprint, load, read_config, read_tokenizer, tokenizer_fingerprint
from kick.checkpoints.description.inspection import inspect
from kick.compression import make
from kick.errors import InputError
from kick.types import Recipe
from tests.attack.mutations import CONFIG_KEYS, damage_bytes, damage_json
from tests.checkpoints.gguf_files import write_gguf
from tests.tiny import save_model

# Mutations per kind of file, and the seconds, the growth in bytes, and the characters of a message that each may take.
MUTATIONS = 1_000
LONGEST = 30
MOST_MEMORY = 2**30
MOST_CHARACTERS = 2_500

Reader = Callable[[Path], object]


class HangError(BaseException):
    """A reader takes too long; not an Exception, so nothing on the way takes it for a failure of a library."""


def peak_memory() -> int:
    """Return the most bytes that this process had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def bounded(case: object) -> Iterator[None]:
    """Fail if a block takes too long, or more memory than it should."""

    def stop(*_: object) -> None:
        raise HangError(f"{case} takes more than {LONGEST} seconds")

    before = peak_memory()
    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    grown = peak_memory() - before
    assert grown < MOST_MEMORY, f"{case}: grew by {grown:,} bytes"


@dataclass
class Count:
    """How the readers of one kind of file answered its mutations."""

    kind: str
    # The process's peak memory in bytes before the first mutation.
    before: int = field(default_factory=peak_memory)
    # Mutations that every reader took, and that at least one refused in words.
    accepted: int = 0
    refused: int = 0
    # The characters of the longest message, and the most seconds that the readers of one mutation took.
    longest_message: int = 0
    slowest: float = 0.0
    # The bytes that the peak of the process grew by.
    grown: int = 0
    # Whatever else happened: tracebacks, hangs, gigabytes, empty or endless messages.
    faults: list[str] = field(default_factory=list)

    def attempt(self, case: str, readers: Sequence[Callable[[], object]]) -> None:
        """Let all readers take the files of a mutation."""
        started, messages = time.monotonic(), []
        try:
            with bounded(case):
                for reader in readers:
                    try:
                        reader()
                    except InputError as error:
                        messages.append(str(error))
        except (Exception, HangError) as error:  # noqa: BLE001 - whatever it is, it is counted
            self.faults.append(f"{case}: {type(error).__name__}: {str(error)[:300]}")
        if any(not 0 < len(message) < MOST_CHARACTERS for message in messages):
            self.faults.append(f"{case}: a message of {max(map(len, messages)):,} characters")
        self.refused += bool(messages)
        self.accepted += not messages
        self.longest_message = max(self.longest_message, *map(len, messages), 0)
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.grown = peak_memory() - self.before

    def line(self) -> str:
        """Return the row of the table."""
        return (
            f"| {self.kind} | {self.accepted + self.refused:,} | {self.refused:,} | {self.accepted:,} | "
            f"{len(self.faults)} | {self.longest_message:,} | {self.slowest:.2f} s | {self.grown / 2**20:.0f} MiB |"
        )


HEAD = (
    "| file | mutations | refused in words | accepted | anything else | longest message (characters) | "
    "slowest mutation | memory grew by |\n|---|---|---|---|---|---|---|---|"
)


# --- what is damaged, and who reads it ---


def load_it(folder: Path) -> object:
    return load(folder, dtype="float32", device="cpu")


READERS: dict[str, tuple[Reader, ...]] = {
    "model.safetensors": (inspect, load_it),
    "config.json": (inspect, fingerprint, read_config, load_it),
    "generation_config.json": (fingerprint, load_it),
    "tokenizer.json": (
        tokenizer_fingerprint,
        lambda folder: read_tokenizer(folder)("The answer is in 1984."),
    ),
    "tokenizer_config.json": (tokenizer_fingerprint, lambda folder: read_tokenizer(folder)("The answer.")),
    "kick.json": (inspect, load_it),
}
GGUF = "GGUF"


def make_model(folder: Path, llama: Path) -> Path:
    """Make a folder with everything that kick reads of one."""
    make(Recipe(method="magnitude", sparsity=0.5), llama, folder)
    return folder


def mutate(kind: str, data: bytes, draw: random.Random) -> bytes:
    """Damage the content of a file once."""
    if kind == GGUF:
        return damage_bytes(data, draw, first=draw.choice((64, 1_000, 12_000, len(data))))
    if kind == "model.safetensors":
        length = 8 + struct.unpack_from("<Q", data)[0]
        if draw.random() < 0.5:
            return damage_bytes(data, draw, first=length)
        header = damage_json(data[8:length].decode(), draw, ("__metadata__", "more"))
        return struct.pack("<Q", len(header)) + header + data[length:]
    return damage_json(data.decode(), draw, CONFIG_KEYS if kind == "config.json" else ())


def fuzz(kind: str, model: Path, scratch: Path, mutations: int) -> Count:
    """Damage one file of a model folder again and again.

    Args:
        kind: a key of `READERS`.
        model: the folder; it is copied.
        scratch: an empty folder.
        mutations: how often; the same number gives the same damage.
    """
    folder = Path(shutil.copytree(model, scratch / "model"))
    original = (folder / kind).read_bytes()
    count = Count(kind)
    for seed in range(mutations):
        (folder / kind).write_bytes(mutate(kind, original, random.Random(f"{kind} {seed}")))
        readers = [lambda reader=reader: reader(folder) for reader in READERS[kind]]
        count.attempt(f"{kind}, seed {seed}", readers)
    return count


def fuzz_gguf(gguf: Path, scratch: Path, mutations: int) -> Count:
    """Damage a GGUF file again and again; see `fuzz`."""
    data, file, cache = gguf.read_bytes(), scratch / "model.gguf", scratch / "cache"
    count = Count(GGUF)
    for seed in range(mutations):
        file.write_bytes(mutate(GGUF, data, random.Random(f"gguf {seed}")))
        readers = (lambda: inspect(file), lambda: converted(file, "float32", cache))
        count.attempt(f"{GGUF}, seed {seed}", readers)
        shutil.rmtree(cache, ignore_errors=True)
    return count


def _row(kind: str, mutations: int) -> Count:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = make_model(scratch / "made", save_model(scratch / "llama", scale=10))
        if kind == GGUF:
            return fuzz_gguf(write_gguf(model, scratch / "whole.gguf"), scratch, mutations)
        return fuzz(kind, model, scratch, mutations)


def main() -> None:
    """Print the table as Markdown; exit code 1 if a mutation was neither accepted nor refused in words."""
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    print(HEAD, flush=True)
    faults = []
    for kind in sys.argv[2:] or (*READERS, GGUF):
        # A process of its own, whose peak of memory is that of this kind.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            count = pool.apply(_row, (kind, mutations))
        print(count.line(), flush=True)
        faults += count.faults
    print("\n" + "\n".join([f"{len(faults)} faults", *faults]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
