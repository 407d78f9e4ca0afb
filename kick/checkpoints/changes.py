"""The fingerprint of a model as it is loaded: that of its weights, and everything that is changed on loading."""

from pathlib import Path

from kick.checkpoints.adapters import adapter_fingerprint
from kick.checkpoints.kv_cache import rounding_phrase
from kick.checkpoints.loaders import find_loader
from kick.checkpoints.quantizers import release
from kick.files import digest
from kick.types import LoadingOptions


def changes_on_loading(options: LoadingOptions) -> dict[str, str]:
    """Return the changes that `load` makes to the stored weights, by option: hashes and releases.

    An option without an entry of its own counts by its value, so a new one is never missing from a fingerprint.

    Args:
        options: the options, with the adapter as a local folder.

    Raises:
        InputError: the adapter is not one, or a package is not installed.
    """
    changes = {name: str(value) for name, value in options.given.items()}
    if options.adapter is not None:
        changes["adapter"] = adapter_fingerprint(Path(options.adapter))
    if options.quantizer is not None:
        changes["quantizer"] = f"{options.quantizer}, {release(options.quantizer)}"
    if options.loader is not None:
        changes["loader"] = f"{options.loader}, {find_loader(options.loader)[1]}"
    if options.kv_bits is not None:
        changes["kv_bits"] = rounding_phrase(options.kv_bits)
    return changes


def fingerprint_as_loaded(weights: str, options: LoadingOptions) -> str:
    """Return the fingerprint of a model from that of its weights and the options; the weights' own if none is given."""
    changes = changes_on_loading(options)
    if not changes:
        return weights
    return digest({"weights": weights, **changes}, length=64)
