"""Write llms.txt: what an agent reads first, the contract of the commands and the guide's pages.

python docs/make/llms.py llms.txt
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
HEAD = """\
# leadsignal

> A Python library that predicts which customers will leave, from what they do before usage drops: tables of accounts,
> contracts, tickets and behaviours become a point-in-time panel, a calibrated survival model, a list of accounts to call
> with reasons, a backtest of how early past alerts were, and comparisons of cohorts without immortal-time bias.

For agents:

- Begin with `leadsignal init FOLDER` on a folder of exports; it writes `leadsignal.toml` and lists as questions what the
  files cannot tell. Then `leadsignal check FOLDER`, until it says "no faults".
- Every command takes `--json -`: the outcome goes to stdout as one JSON object, everything else to stderr. `ok` says
  whether it worked; of a failed run `error` says what to do and `faults` lists every fault with file, line and column.
  The keys of each command are on [its page](docs/json.md).
- What goes in is files too: tables, `leadsignal.toml` for how to read them, `success.toml` for the essential processes.
- Exit codes: 0 done, 2 bad input, 3 too little data for a model, 4 done in part, 5 another run is writing.
- Nothing is overwritten that leadsignal did not write, inputs never; runs are safe to repeat.
- In Python every result has `to_dict()` (ready for JSON), `to_frame()` and a short `repr`.
- Say what the evidence allows: `wording` and `verdict` in the JSON are as strong as it is. A risk is no cause.
"""


def text() -> str:
    """Return llms.txt: the head, and the menu of docs/index.md with links from the root."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").replace("\n  ", " ")
    sections = []
    for section in index.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        pages = [LINK.sub(_from_root, line) for line in lines if line.startswith("- [")]
        if pages:
            sections.append("\n".join([f"## {title}", "", *pages]))
    return "\n\n".join([HEAD.rstrip(), *sections]) + "\n"


def _from_root(link: re.Match[str]) -> str:
    target = f"index.md{link[2]}" if link[2].startswith("#") else link[2]
    path = target.removeprefix("../") if target.startswith("../") else f"docs/{target}"
    return f"[{link[1]}]({path})"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
