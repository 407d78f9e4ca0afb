"""What executes a plan: token-id requests in, responses out."""
