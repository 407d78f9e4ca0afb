"""A policy becomes a verdict with an exit code."""
