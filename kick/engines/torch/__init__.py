"""kick's own engine, on torch and transformers alone."""

from kick.engines.torch.engine import TorchEngine, batches

__all__ = ["TorchEngine", "batches"]
