"""What a response is worth: functions over plain strings, and the adapters that lm-eval tasks name."""
