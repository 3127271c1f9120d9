"""Run the notebooks and keep what they show, small and the same each time.

    python docs/make/run_notebooks.py notebooks              # all
    python docs/make/run_notebooks.py notebooks/01*.ipynb    # some

Kept are words, tables and pictures; counts of executions, times, bars and warnings of the kernel
are not. The tests run the notebooks again and compare words, tables and the number of pictures.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

PICTURE, TABLE, TEXT = "image/png", "text/html", "text/plain"
COLOURS = 256
"""Number of colours of a picture that is kept."""
MAX_BYTES = 500_000
"""Size of a notebook with its outputs."""
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TEMPORARY = re.compile(r"(?:/[\w.-]+)*/tmp[\w-]*(?:/tmp\w+)?|/var/folders/[\w/+-]+")


def executed(path: Path) -> Any:
    """Return a notebook with the outputs that it has now, as they are kept."""
    os.environ["LEADSIGNAL_PROGRESS"] = "0"
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(path.parent)}}
    # No limit of time: a busy machine may take as long as it needs.
    NotebookClient(notebook, timeout=None, startup_timeout=3_600, resources=where).execute()
    notebook.metadata["language_info"] = {"name": "python"}  # Without a version.
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = list(kept(cell.outputs))
    return notebook


def kept(outputs: list[Any]) -> Iterator[Any]:
    """Yield the outputs without what differs from run to run."""
    # What is printed comes in as many pieces as it happens to.
    printed = "".join(one.text for one in outputs if one.get("name") == "stdout")
    if printed:
        stream = {"output_type": "stream", "name": "stdout", "text": named(printed)}
        yield nbformat.from_dict(stream)  # type: ignore[no-untyped-call]
    for output in outputs:
        data = output.get("data", {})
        wanted = next((kind for kind in (PICTURE, TABLE, TEXT) if kind in data), None)
        if wanted is None:
            continue
        text = small(data[wanted]) if wanted == PICTURE else named(data[wanted])
        output["data"], output["metadata"] = {wanted: text}, {}
        if "execution_count" in output:
            output["execution_count"] = None
        yield output


def small(picture: str) -> str:
    """Return a picture in few colours: half of the size, and nobody sees it."""
    opened = Image.open(BytesIO(base64.b64decode(picture))).convert("RGB")
    written = BytesIO()
    opened.quantize(COLOURS).save(written, format="png", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def named(text: str) -> str:
    """Return a text with temporary folders called the same each time."""
    return TEMPORARY.sub("/tmp", text)


def shown(notebook: Any) -> list[tuple[str, str]]:
    """Return the kind and the text of each output; of a picture that it is there."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                found.append((TEXT, output.text))
            else:
                kind, content = next(iter(output["data"].items()))
                found.append((kind, "" if kind == PICTURE else content))
    return found


def words_and_numbers(text: str) -> tuple[list[str], list[str]]:
    """Return what stands between the numbers of a text, and the numbers.

    >>> words_and_numbers("risk 0.35 of 1,200")
    (['risk ', ' of ', ''], ['0.35', '1,200'])
    """
    return NUMBER.split(text), NUMBER.findall(text)


def is_same(one: str, other: str) -> bool:
    """Whether two outputs agree: the same words, numbers up to one in the last digit.

    Another build of the linear algebra may round the last digit the other way.

    >>> is_same("risk 0.35", "risk 0.36"), is_same("risk 0.35", "risk 0.37")
    (True, False)
    """
    words, numbers = words_and_numbers(one)
    other_words, other_numbers = words_and_numbers(other)
    if words != other_words:
        return False
    return all(map(_is_near, numbers, other_numbers))


def _is_near(one: str, other: str) -> bool:
    if one == other:
        return True
    if "e" in one or "e" in other or "." not in one:
        return abs(_value(one) - _value(other)) <= max(1.0, 1e-3 * abs(_value(one)))
    step: float = 10.0 ** -len(one.partition(".")[2])
    return abs(_value(one) - _value(other)) <= 1.001 * max(step, 1e-3 * abs(_value(one)))


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def write(path: Path) -> None:
    """Run a notebook and write it with its outputs."""
    text = json.dumps(executed(path), indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:]):
        for file in sorted(given.glob("*.ipynb")) if given.is_dir() else [given]:
            write(file)
            print(f"{file}: {file.stat().st_size:,} bytes")
