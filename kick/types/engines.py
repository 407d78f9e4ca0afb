"""The engine of a checkpoint: its name and arguments in a suite, and its identity in the key of a cell."""

from kick.types.base import Record

# The engine of a checkpoint that names none.
DEFAULT_ENGINE = "torch"

EngineArgument = bool | int | float | str


class EngineIdentity(Record):
    """The engine that computed a cell, with everything of it that may change the numbers."""

    # The name, as a suite writes it.
    name: str
    # The version of the library that computed, or what a server says about itself.
    version: str
    # The settings that may change the numbers, by name; defaults included.
    settings: dict[str, str]

    @property
    def release(self) -> str:
        """The name with the version: `llama-cpp 0.3.16`."""
        return f"{self.name} {self.version}"

    @property
    def text(self) -> str:
        """The engine in one piece: `llama-cpp 0.3.16, kv_type q8_0`."""
        return ", ".join([self.release, *(f"{name} {value}" for name, value in self.settings.items())])
