"""The embedded default: a synthetic world of which every fact, and how often the model was told it, is known."""
