"""The random order in which the items of a task are drawn: a larger draw by the same seed contains a smaller one."""

import random


def draw_order(total: int, seed: int) -> list[int]:
    """Return the positions 0..total-1 in the order in which they are drawn; a limit of n takes the first n.

    >>> draw_order(5, seed=0)
    [2, 1, 0, 4, 3]
    """
    order = list(range(total))
    random.Random(seed).shuffle(order)
    return order
