"""Imports run downwards only: a package imports those above it in the list, never those below."""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "leadsignal"
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "durations", "phrases"),
    ("schema",),
    ("config", "files"),
    ("results",),
    ("sources",),
    ("ingestion",),
    ("tables",),
    ("end_of_risk",),
    ("targets",),
    ("indicators",),
    ("engine",),
    ("panel",),
    ("result_status",),
    ("as_of_context",),
    ("survival",),
    ("model", "cohorts"),
    ("churn",),
    ("success_analysis",),
    ("evaluation",),
    ("scoring",),
    ("monitoring",),
    ("report",),
    ("datasets",),
    ("demo",),
    ("cli", "__main__"),
)
"""Modules and packages, lowest first; those in one line may not import each other in a circle."""

NUMBER = {name: number for number, layer in enumerate(LAYERS) for name in layer}


def package_of(file: Path) -> str:
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


def test_every_module_has_a_package() -> None:
    assert {package_of(file) for file in modules()} - NUMBER.keys() == set()


def test_imports_run_downwards_only() -> None:
    upwards = [
        f"{file.relative_to(SOURCE)} imports {package}"
        for file in modules()
        for package in sorted(imported(file) & NUMBER.keys())
        if NUMBER[package] > NUMBER[package_of(file)]
    ]
    assert upwards == []


def test_imports_inside_are_absolute_and_of_the_library() -> None:
    unknown = [
        f"{file.relative_to(SOURCE)} imports {package}"
        for file in modules()
        for package in sorted(imported(file) - NUMBER.keys())
    ]
    assert unknown == []


def test_the_page_names_every_package_that_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    packages = {package_of(file) for file in modules()} & NUMBER.keys()
    assert [
        package
        for package in sorted(packages)
        if f"`{package}.py`" not in text and f"`{package}/`" not in text
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
    packages = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    assert told == {name: package for package, names in packages.items() for name in names}


TIME_LIMIT = re.compile(r"(?<!startup_)timeout=\s*\d|@settings\((?![^)]*deadline=None)")


def test_no_test_has_a_time_limit_that_a_busy_machine_would_miss() -> None:
    limits = [
        f"{file.name}: {found.group()}"
        for file in Path(__file__).parent.rglob("*.py")
        for found in TIME_LIMIT.finditer(file.read_text(encoding="utf-8"))
        if file != Path(__file__)
    ]
    assert limits == []
