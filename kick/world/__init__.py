"""The embedded default: a synthetic world. Every fact is known, and how often the model was told it."""
