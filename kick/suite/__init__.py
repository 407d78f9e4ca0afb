"""A suite file becomes a validated `Suite`: keys, series, model references, the catalogue of tasks."""

from kick.suite.keys import Perplexity
from kick.suite.suite import Suite

__all__ = ["Perplexity", "Suite"]
