"""The models of a check: all in memory where they fit, otherwise one at a time."""

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from kick.engines.base import Engine
from kick.execution.jobs import Job, RunContext
from kick.execution.scoring import load_engine

# A model takes this many times the bytes of its weights, with what a forward needs.
_ROOM = 1.3


class Models:
    """Loads the models of some jobs when they are needed.

    Args:
        jobs: checkpoint id -> its job, the reference's first.
        context: what the jobs share.
    """

    def __init__(self, jobs: Mapping[str, Job], context: RunContext) -> None:
        self.jobs, self.context = jobs, context
        self._engines: dict[str, Engine] = {}
        # Whether all models fit together; None until the first one is loaded.
        self.fit: bool | None = None
        self.loads = 0

    def order(self) -> Sequence[str]:
        """Return the checkpoint ids, those that are loaded first."""
        return sorted(self.jobs, key=lambda checkpoint: checkpoint not in self._engines)

    def engine(self, checkpoint: str) -> Engine:
        """Return the engine of a checkpoint; the others are let go if they do not fit beside it.

        Raises:
            InputError: the checkpoint cannot be loaded or scored.
        """
        if checkpoint in self._engines:
            return self._engines[checkpoint]
        if not self.fit:
            self._let_go()
        job = self.jobs[checkpoint]
        record = self.context.store.checkpoint(checkpoint)
        assert record is not None
        loaded = load_engine(job, record, self.context)
        self.loads += 1
        if self.fit is None:
            others = (len(self.jobs) - 1) * loaded.memory * _ROOM
            self.fit = others <= free_memory(self.context.device)
            if not self.fit:
                self.context.reporter.say(
                    "the models do not fit the memory together: they are loaded in turns"
                )
        self._engines[checkpoint] = loaded.engine
        return self._engines[checkpoint]

    def _let_go(self) -> None:
        self._engines.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def free_memory(device: str) -> float:
    """Return the bytes that are free on a device; without a limit where the system does not tell."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    kilobytes = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines)}
    return 1024.0 * float(kilobytes["MemAvailable"])
