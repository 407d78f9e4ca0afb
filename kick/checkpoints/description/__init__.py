"""Measurements on the stored weights of a checkpoint, and what its files declare about them."""
