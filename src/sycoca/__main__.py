"""``python -m sycoca``: the command line."""

import sys

from sycoca.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
