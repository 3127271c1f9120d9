"""Run the command line with ``python -m leadsignal``."""

import sys

if __name__ == "__main__":
    # Python puts the current folder first, but modules beside the tables must not be imported.
    del sys.path[: not sys.flags.safe_path]
    from leadsignal.cli import main

    sys.exit(main())
