"""`python -m agentrft.cli`: the same as the `agentrft` command."""

from agentrft.cli import main

if __name__ == "__main__":
    main()
