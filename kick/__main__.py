"""`python -m kick`: the command line."""

from kick.cli import main

main()
