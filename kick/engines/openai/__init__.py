"""Any server with `/v1/completions`: what it can do is tried on known prompts, and never believed."""

from kick.engines.openai.kind import ENGINE

__all__ = ["ENGINE"]
