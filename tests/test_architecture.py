"""Imports run downwards only: a package imports those above it in the list, never those below."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import leadsignal as ls

SOURCE = Path(__file__).parents[1] / "src" / "leadsignal"
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "arguments",
        "package_data",
        "workers",
        "formats",
        "plots",
    ),
    ("schema",),
    ("files",),
    ("html_pages",),
    ("results",),
    ("config",),
    ("sources",),
    ("ingestion",),
    ("account_sample",),
    ("tables",),
    ("proposals",),
    ("targets",),
    ("indicators",),
    ("accounts",),
    ("engine",),
    ("warehouse",),
    ("panel",),
    ("panel_files",),
    ("panel_folder",),
    ("as_of_context",),
    ("stats",),
    ("survival",),
    ("model", "cohorts"),
    ("churn",),
    ("success_analysis",),
    ("evaluation",),
    ("scoring",),
    ("monitoring", "experiments", "spark", "mlflow"),
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


def test_every_public_name_can_be_imported() -> None:
    stubs = sorted(SOURCE.rglob("__init__.pyi"))
    assert len(stubs) > 10
    for stub in stubs:
        name = ".".join(("leadsignal", *stub.parent.relative_to(SOURCE).parts))
        package = import_module(name)
        for public in package.__all__:
            assert getattr(package, public) is not None
        assert set(dir(package)) == set(package.__all__)


def test_about_forty_names_are_at_the_top() -> None:
    names = [name for name in dir(ls) if not inspect.ismodule(getattr(ls, name))]
    assert 35 <= len(names) <= 50


def graph() -> dict[str, set[str]]:
    """Return for each module of the library those that it imports, wherever the import stands."""
    files = {
        ".".join(("leadsignal", *file.relative_to(SOURCE).with_suffix("").parts)): file
        for file in SOURCE.rglob("*.py")
        if file.name != "__init__.py"
    }
    return {
        module: {
            target
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            for target in (node.module or "", f"{node.module}.{alias.name}")
            if target in files
        }
        for module, file in files.items()
    }


def test_there_are_no_circles_of_modules() -> None:
    """Also none that imports inside functions or for type checkers only would hide."""
    assert circles(graph()) == []


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules that import each other, directly or not."""
    reached = {module: reachable(module, edges) for module in edges}
    groups = {
        frozenset(m for m in reached[module] if module in reached[m])
        for module in edges
        if module in reached[module]
    }
    return [set(group) for group in groups]


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_a_circle_is_noticed() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [{"b", "c"}]


def test_modules_import_from_modules_and_not_from_packages() -> None:
    """A package's names are for users; inside, they would hide what imports what."""
    packages = {
        ".".join(("leadsignal", *stub.parent.relative_to(SOURCE).parts))
        for stub in SOURCE.rglob("__init__.pyi")
    }
    found = [
        f"{file.relative_to(SOURCE)}: from {node.module} import {alias.name}"
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in packages
        for alias in node.names
        if alias.name in import_module(node.module).__all__
        and not inspect.ismodule(getattr(import_module(node.module), alias.name))
    ]
    assert found == []


TIME_LIMIT = re.compile(r"(?<!startup_)timeout=\s*\d|@settings\((?![^)]*deadline=None)")


def test_no_test_has_a_time_limit_that_a_busy_machine_would_miss() -> None:
    limits = [
        f"{file.name}: {found.group()}"
        for file in Path(__file__).parent.rglob("*.py")
        for found in TIME_LIMIT.finditer(file.read_text(encoding="utf-8"))
        if file != Path(__file__)
    ]
    assert limits == []


@pytest.mark.parametrize("listed", [".ci/core", "tests/fast.txt"])
def test_a_part_of_the_suite_names_tests_that_exist(listed: str) -> None:
    """`.ci/versions` and `./test fast` run what is listed: a name that is gone ends the run."""
    root = Path(__file__).parents[1]
    for line in (root / listed).read_text(encoding="utf-8").splitlines():
        path, _, test = line.removeprefix("--deselect=").removeprefix("--ignore=").partition("::")
        file = root / path
        assert line.startswith("#") or file.exists(), line
        if test:
            assert f"def {test.partition('[')[0]}(" in file.read_text(encoding="utf-8"), line
