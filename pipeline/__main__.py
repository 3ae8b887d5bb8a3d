"""`python -m pipeline VERB`, also installed as `signoff`."""

import sys

from pipeline.cli import run


def main() -> None:
    """Leave with the exit code of the verb."""
    sys.exit(run())


if __name__ == "__main__":
    main()
