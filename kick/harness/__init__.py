"""The bridge to lm-eval, and the only place that imports it: tasks, plans, scoring, perplexity, divergence."""
