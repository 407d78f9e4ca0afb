"""What is measured on the stored weights of a checkpoint."""
