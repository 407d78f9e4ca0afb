"""The bridge to lm-eval: the only place that imports it. Tasks, their data, the scoring model, and plans."""
