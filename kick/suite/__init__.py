"""A suite file becomes a validated `Suite`."""

from kick.suite.suite import Perplexity, Suite

__all__ = ["Perplexity", "Suite"]
