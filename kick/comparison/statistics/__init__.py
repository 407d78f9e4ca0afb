"""The statistics behind comparisons, on plain arrays and counts."""
