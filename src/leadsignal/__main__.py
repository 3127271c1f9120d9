"""``python -m leadsignal``: the command line."""

import sys

from leadsignal.cli import main

if __name__ == "__main__":
    sys.exit(main())
