"""`python -m compdb`: the command line."""

import sys

from compdb.cli import app

if __name__ == "__main__":
    sys.exit(app())
