"""A suite becomes jobs, jobs become cells in a results folder."""
