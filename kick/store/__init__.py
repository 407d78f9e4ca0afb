"""The results folder: everything that compares or reports reads results through it and through nothing else."""

from kick.store.journal import Journal
from kick.store.layout import JournalKind, cell_key, noise_id, tier_key
from kick.store.store import ITEM_COLUMNS, Store
from kick.store.verification import Finding

__all__ = ["ITEM_COLUMNS", "Finding", "Journal", "JournalKind", "Store", "cell_key", "noise_id", "tier_key"]
