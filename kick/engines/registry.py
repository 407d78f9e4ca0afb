"""The engines that a suite can name: those of kick, and those that installed packages bring.

A package brings an engine by an entry point of the group `kick.engines`, whose object is an `EngineKind` of
`kick.engines.base`:

    [project.entry-points."kick.engines"]
    my-engine = "my_package:ENGINE"
"""

from importlib import import_module
from importlib.metadata import entry_points

from kick.engines.base import EngineKind
from kick.errors import InputError, nearest
from kick.types import DEFAULT_ENGINE

GROUP = "kick.engines"
# They come with kick, whether it is installed or run from its source.
_OWN = {"llama-cpp": "kick.engines.llama_cpp:ENGINE", "openai": "kick.engines.openai:ENGINE"}


def find_engine(name: str) -> EngineKind:
    """Return the engine of a name other than `torch`.

    Raises:
        InputError: no installed package brings it, two do, or it cannot be imported.
    """
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        own: EngineKind = getattr(import_module(module), attribute)
        return own
    installed = entry_points(group=GROUP)
    points = [point for point in installed if point.name == name]
    if not points:
        known = [DEFAULT_ENGINE, *_OWN, *(point.name for point in installed)]
        raise InputError(
            f"no installed package brings the engine '{name}' (entry-point group {GROUP}). {nearest(name, known)}"
        )
    if len(points) > 1:
        raise InputError(f"{len(points)} installed packages bring an engine '{name}'. Uninstall all but one.")
    try:
        kind: EngineKind = points[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"the engine '{name}' ({points[0].value}) cannot be imported: {error}") from error
    return kind
