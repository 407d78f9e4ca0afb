"""The results folder: everything that compares or reports reads results through it and through nothing else."""

from kick.store.journal import Journal
from kick.store.store import ITEM_COLUMNS, Store, cell_key, noise_id, tier_key

__all__ = ["ITEM_COLUMNS", "Journal", "Store", "cell_key", "noise_id", "tier_key"]
