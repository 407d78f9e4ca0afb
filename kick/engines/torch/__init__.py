"""kick's own scorer, on torch and transformers alone."""
