"""Bits per byte: the loss on a text by its UTF-8 bytes, which does not depend on how a tokenizer cuts the text.

On windows or pages that both models were scored on, it is the mean loss in nats divided by ln 2 and by the bytes per
unit. So its paired difference is that of the mean losses.
"""

import math

from kick.comparison.estimates import score_estimate
from kick.comparison.pairing import Pairs
from kick.types import BitsPerByte


def bits_per_byte(pairs: Pairs) -> BitsPerByte | None:
    """Return the bits per byte of both checkpoints with their paired difference.

    None if the task is not a text, or its cells do not say how many bytes a unit has (results of other tools).
    """
    sample = pairs.sample
    if not sample.perplexity or "bytes_per_unit" not in pairs.reference_items:
        return None
    bytes_per_unit = float(pairs.reference_items["bytes_per_unit"].iloc[0])
    bits = 1 / math.log(2) / bytes_per_unit
    reference, candidate = (
        score_estimate(side * bits, sample.groups, sample.weights, lowest=0.0)
        for side in (sample.a, sample.b)
    )
    return BitsPerByte(reference=reference, candidate=candidate, delta=sample.loss_difference.scaled(bits))
