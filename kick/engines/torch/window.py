"""The context window of a model."""

from transformers import PretrainedConfig


def context_window(config: PretrainedConfig) -> int | None:
    """Return the number of tokens that fit the model by its config; None if it states no limit (recurrent models)."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None
