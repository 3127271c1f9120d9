"""Imports run downwards only: a room knows the rooms above it in the list, never those below."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "leadsignal"
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

ROOMS: tuple[tuple[str, ...], ...] = (
    ("errors", "durations", "phrases"),
    ("schema",),
    ("settings", "files"),
    ("project", "success"),
    ("sources",),
    ("intake",),
    ("tables",),
    ("known_ends",),
    ("targets",),
    ("indicators",),
    ("engine",),
    ("panel",),
    ("standing",),
    ("today",),
    ("survival",),
    ("hazards",),
    ("drivers", "lifetimes", "cohorts", "discovery"),
    ("model",),
    ("ends",),
    ("tracking",),
    ("proof",),
    ("study",),
    ("interviews",),
    ("scoring",),
    ("monitoring",),
    ("review",),
    ("report",),
    ("datasets",),
    ("demo",),
    ("cli", "__main__"),
)
"""The modules and folders of the library, from the ground up; those in one line share a room."""

NUMBER = {name: number for number, room in enumerate(ROOMS) for name in room}


def room_of(file: Path) -> str:
    inside = file.relative_to(SOURCE)
    return inside.parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [file for file in sorted(SOURCE.rglob("*.py")) if file != SOURCE / "__init__.py"]


def imported(file: Path) -> set[str]:
    """Rooms of the library that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("leadsignal.")}
    return found - {"__version__"}


def test_every_module_has_a_room() -> None:
    assert {room_of(file) for file in modules()} - NUMBER.keys() == set()


def test_imports_run_downwards_only() -> None:
    upwards = [
        f"{file.relative_to(SOURCE)} imports {room}"
        for file in modules()
        for room in sorted(imported(file) & NUMBER.keys())
        if NUMBER[room] > NUMBER[room_of(file)]
    ]
    assert upwards == []


def test_imports_inside_are_absolute_and_of_the_library() -> None:
    unknown = [
        f"{file.relative_to(SOURCE)} imports {room}"
        for file in modules()
        for room in sorted(imported(file) - NUMBER.keys())
    ]
    assert unknown == []


def test_the_page_names_every_room_that_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rooms = {room_of(file) for file in modules()} & NUMBER.keys()
    assert [
        room for room in sorted(rooms) if f"`{room}.py`" not in text and f"`{room}/`" not in text
    ] == []


def test_what_type_checkers_read_is_what_is_imported() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.asname: (node.module or "").removeprefix("leadsignal.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    rooms = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ROOMS"
    )
    assert told == {name: room for room, names in rooms.items() for name in names}


TIME_LIMIT = re.compile(r"(?<!startup_)timeout=\s*\d|@settings\((?![^)]*deadline=None)")


def test_no_test_has_a_time_limit_that_a_busy_machine_would_miss() -> None:
    limits = [
        f"{file.name}: {found.group()}"
        for file in Path(__file__).parent.rglob("*.py")
        for found in TIME_LIMIT.finditer(file.read_text(encoding="utf-8"))
        if file != Path(__file__)
    ]
    assert limits == []
