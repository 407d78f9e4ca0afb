"""kick: what knowledge did this model lose when it was compressed?

The public face; each name is loaded when it is first used, so that `import kick` costs nothing.

    suite = kick.Suite.read("suite.yaml")
    kick.run(suite, "results/mine")                    # score what is missing
    store = kick.Store("results/mine")
    kick.compare(store, "dense", "rtn-4", "kick_squad")
    kick.gate(store, "regression")
    kick.check("dense/", "w4a16/", budget="10m")       # score no more than a verdict takes
    kick.report(store, Path("report"), ["md"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kick.checkpoints import describe
    from kick.comparison import compare
    from kick.compression import make as compress
    from kick.execution.check import check
    from kick.execution.runner import run
    from kick.gating import gate
    from kick.reports import write as report
    from kick.store import Store
    from kick.suite import Suite

__all__ = ["Store", "Suite", "check", "compare", "compress", "describe", "gate", "report", "run"]

_HOMES = {
    "Store": ("kick.store", "Store"),
    "Suite": ("kick.suite", "Suite"),
    "check": ("kick.execution.check", "check"),
    "compare": ("kick.comparison", "compare"),
    "compress": ("kick.compression", "make"),
    "describe": ("kick.checkpoints", "describe"),
    "gate": ("kick.gating", "gate"),
    "report": ("kick.reports", "write"),
    "run": ("kick.execution.runner", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kick' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return list(__all__)
