"""Kill kick at every call that changes a disk, and at random times: the same command has to go on.

Each command runs in a child that ends itself by SIGKILL in front of its k-th fsync, rename, unlink, mkdir, rmdir,
truncate, fallocate, lock, or opening of a file to write; what reaches the disk by other ways (maps of tensors, Parquet)
is met by the kills at random times. After a kill the same command runs again in the same place, and has to end with
exit code 0, with the output of a run that nobody killed, with `kick verify` clean, and without temporary files.

    python scripts/attack_kill.py                      # every call, and 100 kills at random times per command
    python scripts/attack_kill.py --points 12 --random 0 --case run
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

MODEL = Path(__file__).parents[1] / "kick" / "world" / "models" / "kick-tiny-1m"
EVENTS = frozenset(
    ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "fcntl.flock")
)
# Runs, reports and boards over one folder at one time; none is killed, and all have to end.
TOGETHER = "together"
# Numbers of cell.json that no two runs share.
CLOCK = ("sha256", "seconds", "finished")
# Numbers of kick.json that no two makings share.
MEASURED = ("seconds", "peak_memory")

SUITE = f"""name: kill
reference: dense
checkpoints:
- {{id: dense, model: {MODEL}}}
series:
- {{from: dense, method: rtn, bits: [4], group_size: 16}}
tasks: [kick_world_choice, kick_world_factoid_head]
perplexity: {{datasets: [world], window: 128, windows: 3}}
divergence: true
limit: 20
"""
SERIES = f"""name: kill
reference: dense
checkpoints:
- {{id: dense, model: {MODEL}}}
series:
- {{from: dense, method: magnitude, sparsity: [0.3, 0.5]}}
- {{from: magnitude-0.5, method: rtn, bits: [4], group_size: 16}}
tasks: [kick_world_choice]
noise_floor: false
tier: plain
limit: 10
"""


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        name: the name in the table.
        words: the command line; `{work}` is its place and `{given}` that of the results it reads.
        digest: returns the SHA-256 of what the command made in its place.
        verified: results folders below its place that `kick verify` has to find clean.
        prepare: fills the place before the command, if it needs more than a suite.
        done: what the command says with exit code 2 if its output is whole already; empty: it says nothing of the kind.
    """

    name: str
    words: tuple[str, ...]
    digest: Callable[[Path], str]
    verified: tuple[str, ...] = ()
    prepare: Callable[[Path, Path], None] = lambda work, given: None
    done: str = ""


@dataclass
class Row:
    """The outcome of the kills of a case."""

    case: str
    kind: str
    calls: int
    kills: int = 0
    went_on: int = 0
    equal: int = 0
    verified: int = 0
    clean: int = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the row of the table."""
        counts = (self.kills, self.went_on, self.equal, self.verified, self.clean)
        return f"{self.case:<14}{self.kind:<14}{self.calls:>6}" + "".join(f"{count:>10}" for count in counts)


HEAD = f"{'command':<14}{'killed at':<14}{'calls':>6}" + "".join(
    f"{name:>10}" for name in ("kills", "went on", "equal", "verified", "clean")
)


# --- what a command made ---


def results_digest(results: Path) -> str:
    """Return the SHA-256 over the sorted cells of a results folder: keys, scores, divergence and items."""
    cells = []
    for path in results.glob("cells/*/*/*/cell.json"):
        cell = {key: value for key, value in json.loads(path.read_bytes()).items() if key not in CLOCK}
        items = hashlib.sha256((path.parent / "items.parquet").read_bytes()).hexdigest()
        cells.append(json.dumps([cell, items], sort_keys=True))
    records = [json.loads(path.read_bytes())["cells"] for path in sorted(results.glob("checkpoints/*.json"))]
    return hashlib.sha256(json.dumps([sorted(cells), records], sort_keys=True).encode()).hexdigest()


def _findings(results: Path) -> list[str]:
    """Return what `kick verify` says of a results folder, of leftovers and unknown files too."""
    from kick.store import Store
    from kick.store.verification import inspect

    return (
        [str(finding) for finding in inspect(Store(results))]
        if (results / "suite.yaml").exists()
        else ["no suite"]
    )


def tree_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of all files below a folder but locks."""
    files = [
        (path.relative_to(folder).as_posix(), hashlib.sha256(_content(path)).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    ]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _content(path: Path) -> bytes:
    """Return the bytes of a file; of kick.json without what was measured while it was made."""
    if path.name != "kick.json":
        return path.read_bytes()
    fields = {key: value for key, value in json.loads(path.read_bytes()).items() if key not in MEASURED}
    return json.dumps(fields, sort_keys=True).encode()


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files and folders below a folder."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".tmp", ".part") or (path.name.startswith(".") and path.suffix != ".lock")
    )


def _old_board(work: Path, given: Path) -> None:
    """Write the board of other results first, whose pages the killed command removes."""
    _whole(("leaderboard", str(given / "series"), "--out", str(work / "out")), work)


CASES = (
    Case(
        "run",
        ("run", "{given}/run.yaml", "--results", "{work}/out", "--cache", "{work}/cache", "--device", "cpu"),
        lambda work: results_digest(work / "out"),
        verified=("out",),
    ),
    Case(
        "series --keep",
        (
            "run", "{given}/series.yaml", "--results", "{work}/out", "--cache", "{work}/cache", "--device", "cpu",
            "--keep", "0",
        ),
        lambda work: results_digest(work / "out"),
        verified=("out",),
    ),
    Case(
        "compress",
        ("compress", str(MODEL), "--method", "rtn", "--bits", "4", "--group-size", "16", "--out", "{work}/out"),
        lambda work: tree_digest(work / "out"),
        done="exists and is not overwritten",
    ),
    Case(
        "manifest",
        ("verify", "{work}/out", "--manifest", "write"),
        lambda work: results_digest(work / "out"),
        verified=("out",),
        prepare=lambda work, given: shutil.copytree(given / "run", work / "out") and None,
    ),
    Case(
        "report",
        ("report", "{given}/run", "--format", "md,html,latex,csv,parquet,model-card", "--out", "{work}/out"),
        lambda work: tree_digest(work / "out"),
    ),
    Case(
        "leaderboard",
        ("leaderboard", "{given}/run", "--out", "{work}/out"),
        lambda work: tree_digest(work / "out"),
        prepare=_old_board,
    ),
)  # fmt: skip


# --- children ---


class Calls:
    """Counts the calls that change the disk below a folder, and kills the process in front of one of them."""

    def __init__(self, root: Path, at: int | None, counter: Path) -> None:
        self.root, self.at, self.counter, self.count = str(root), at, counter, 0
        sys.addaudithook(self._audit)
        for name in ("fsync", "posix_fallocate"):
            setattr(os, name, self._counted(getattr(os, name)))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS or (event == "open" and self._writes(arguments)):
            self._step()

    def _writes(self, arguments: tuple[Any, ...]) -> bool:
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and isinstance(path, str) and path.startswith(self.root)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self._step()
            return call(*arguments)

        return counted

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _child(words: tuple[str, ...], work: Path, at: int | None, log: Path) -> NoReturn:
    """Run the command in this process, which was forked, and end it."""
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        calls = Calls(work, at, log)
        sys.argv = ["kick", *words]
        from kick.cli import main

        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        log.with_suffix(".calls").write_text(str(calls.count))
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(code)


def _start(
    words: tuple[str, ...], work: Path, at: int | None = None, log: Path | None = None
) -> tuple[int, Path]:
    log = log or work.parent / "log.txt"
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _child(words, work, at, log)
    return pid, log


def _end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _whole(words: tuple[str, ...], work: Path) -> int:
    """Run a command to its end and return its number of calls; anything but exit code 0 ends the script."""
    pid, log = _start(words, work)
    if code := _end(pid):
        sys.exit(f"kick {' '.join(words)} ended with {code}:\n{log.read_text()}")
    return int(log.with_suffix(".calls").read_text())


# --- kills ---


class Attack:
    """Kills the command of a case, again and again, each time in a new place of the same name.

    Args:
        case: the command.
        scratch: a folder for its place, which is made again for every kill.
        given: the folder with suites and results that commands read.
    """

    def __init__(self, case: Case, scratch: Path, given: Path) -> None:
        self.case, self.given, self.work, self.before = case, given, scratch / "work", scratch / "before"
        shutil.rmtree(self.before, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        case.prepare(self.work, given)
        shutil.copytree(self.work, self.before, symlinks=True)
        self.words = tuple(word.format(work=self.work, given=given) for word in case.words)
        self.calls = _whole(self.words, self.work)
        self.expected = case.digest(self.work)
        self._reset()
        started = time.monotonic()
        _whole(self.words, self.work)
        self.seconds = time.monotonic() - started
        if case.digest(self.work) != self.expected:
            sys.exit(f"{case.name}: two runs that nobody killed are not equal")

    def at_calls(self, points: int | None) -> Row:
        """Kill the command in front of every call, or of so many that are spread evenly."""
        row = Row(self.case.name, "a call", self.calls)
        most = self.calls if points is None else min(points, self.calls)
        for point in sorted(
            {1 + round(index * (self.calls - 1) / max(most - 1, 1)) for index in range(most)}
        ):
            self._reset()
            pid, _ = _start(self.words, self.work, at=point)
            if _end(pid) == -signal.SIGKILL:
                row.kills += 1
                self._go_on(row, f"call {point}")
        return row

    def at_random(self, kills: int, seed: int) -> Row:
        """Kill the command at random times; a run that goes on is killed again, up to three times."""
        row, draw = (
            Row(self.case.name, "a random time", self.calls),
            random.Random(f"{self.case.name} {seed}"),
        )
        while row.kills < kills:
            self._reset()
            times = []
            for _ in range(draw.randint(1, 3)):
                pid, _ = _start(self.words, self.work)
                seconds = draw.uniform(0, self.seconds)
                time.sleep(seconds)
                os.kill(pid, signal.SIGKILL)
                # One that had ended already was not killed.
                if _end(pid) == -signal.SIGKILL:
                    times.append(seconds)
            if times:
                row.kills += len(times)
                self._go_on(row, "after " + ", ".join(f"{seconds:.2f} s" for seconds in times), len(times))
        return row

    def _reset(self) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(self.before, self.work, symlinks=True)

    def _go_on(self, row: Row, where: str, kills: int = 1) -> None:
        pid, log = _start(self.words, self.work)
        code = _end(pid)
        if code == 2 and self.case.done and self.case.done in log.read_text():
            # It was killed after its last change to the disk.
            code = 0
        equal = code == 0 and self.case.digest(self.work) == self.expected
        remaining = leftovers(self.work)
        said = log.read_text() if code else ""
        findings = [problem for name in self.case.verified for problem in _findings(self.work / name)]
        row.went_on += kills * (code == 0)
        row.equal += kills * equal
        row.verified += kills * (not findings)
        row.clean += kills * (not remaining)
        if code or not equal or findings or remaining:
            fault = (
                f"{self.case.name}, killed at {where}: exit {code}, {'equal' if equal else 'NOT EQUAL'}, "
                f"left: {remaining}, found: {findings}\n{said[-600:]}"
            )
            row.faults.append(fault)
            print(f"  {fault}", flush=True)


def together(scratch: Path, given: Path, runs: int = 4) -> Row:
    """Start several runs over one results folder and one cache, which --keep empties, and reports and boards meanwhile.

    Each has to end with exit code 0, or with 2 and a message; one more run has to end as if it had been alone.
    """
    work = scratch / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    case = next(case for case in CASES if case.name == "series --keep")
    words = tuple(word.format(work=work, given=given) for word in case.words)
    row = Row(TOGETHER, "(not killed)", 0)
    started = {_start(words, work, log=scratch / f"run-{number}.txt") for number in range(runs)}
    while started:
        readers = [("report", str(work / "out"), "--format", "csv,model-card", "--out", str(work / "report"))]
        readers.append(("leaderboard", str(work / "out"), "--out", str(work / "site")))
        for number, reader in enumerate(readers):
            pid, log = _start(reader, work, log=scratch / f"reader-{number}.txt")
            _count(row, _end(pid), log)
        for pid, log in sorted(started):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                started.remove((pid, log))
                _count(row, os.waitstatus_to_exitcode(status), log)
    pid, log = _start(words, work)
    _count(row, _end(pid), log)
    row.equal = row.kills * (results_digest(work / "out") == results_digest(given / "series"))
    row.verified = row.kills * (not _findings(work / "out"))
    row.clean = row.kills * (not leftovers(work))
    if row.equal == 0 or row.verified == 0 or row.clean == 0:
        row.faults.append(f"not equal, or left: {leftovers(work)}, or found: {_findings(work / 'out')}")
        print(f"  {row.faults[-1]}", flush=True)
    return row


def _count(row: Row, code: int, log: Path) -> None:
    """Count a command that ended; it is a fault if it did not end with a result or with a message."""
    said = log.read_text()
    row.kills += 1
    if code == 0 or (code == 2 and "error: " in said and "Traceback" not in said):
        row.went_on += 1
    else:
        row.faults.append(f"exit {code}\n{said[-600:]}")
        print(f"  {row.faults[-1]}", flush=True)


def prepare(given: Path) -> None:
    """Write the suites, and score both once, for the commands that read results."""
    given.mkdir(parents=True, exist_ok=True)
    for name, text in (("run", SUITE), ("series", SERIES)):
        (given / f"{name}.yaml").write_text(text)
        words = (
            "run",
            str(given / f"{name}.yaml"),
            "--results",
            str(given / name),
            "--cache",
            str(given / "cache"),
        )
        _whole((*words, "--device", "cpu"), given)


def attack(
    scratch: Path, cases: tuple[str, ...] = (), points: int | None = None, kills: int = 100, seed: int = 0
) -> list[Row]:
    """Kill every case (or those named) and return the rows of the table.

    Args:
        scratch: a folder for everything that the attack writes.
        cases: the names of the cases; empty: all.
        points: calls to kill at per case; None: every one.
        kills: kills at random times per case.
        seed: of the random times.
    """
    # The children are forked: what takes seconds is imported once.
    import transformers.models.llama.modeling_llama
    import transformers.models.llama.tokenization_llama  # noqa: F401

    prepare(scratch / "given")
    rows = []
    if not cases or TOGETHER in cases:
        rows.append(together(scratch / "together", scratch / "given"))
        _print(rows[-1])
    for case in CASES:
        if cases and case.name not in cases:
            continue
        one = Attack(case, scratch / "case", scratch / "given")
        rows.append(one.at_calls(points))
        _print(rows[-1])
        if kills:
            rows.append(one.at_random(kills, seed))
            _print(rows[-1])
    return rows


def _print(row: Row) -> None:
    print(row.line(), flush=True)


def main() -> None:
    """Parse the options, kill, print the table; exit code 1 if anything did not go on as if nothing happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, help="calls to kill at per command (default: every one)")
    parser.add_argument("--random", type=int, default=100, help="kills at random times per command")
    parser.add_argument(
        "--case", action="append", default=[], choices=[TOGETHER, *(case.name for case in CASES)]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="a folder for the attack (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.scratch or Path(temporary)
        points = "every call" if options.points is None else f"at most {options.points} calls, spread evenly"
        print(f"per command: {points}, and {options.random} kills at random times (seed {options.seed})\n")
        print(HEAD, flush=True)
        rows = attack(scratch, tuple(options.case), options.points, options.random, options.seed)
    sys.exit(1 if any(row.faults for row in rows) else 0)


if __name__ == "__main__":
    main()
