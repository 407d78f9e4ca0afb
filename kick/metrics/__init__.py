"""Scores of responses: functions over plain strings, and the adapters that lm-eval tasks name."""
