"""Wheel and sdist hold what a user needs; the wheel runs away from its repository.

`.ci/package` does the same in empty environments, with the dependencies installed anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "installed")
    return built / "installed"


def test_the_wheel_is_typed_and_holds_sample_style_and_licences(unpacked: Path) -> None:
    package = unpacked / "leadsignal"
    assert (package / "py.typed").exists()
    assert (package / "page_style.css").exists()
    kept = {file.name for file in (ROOT / "data" / "sample").iterdir()}
    assert {file.name for file in (package / "sample").iterdir()} == kept
    licences = {file.name for file in unpacked.glob("*.dist-info/licenses/*")}
    assert licences == {"LICENSE", "NOTICE.md"}
    assert not (unpacked / "tests").exists()


def test_the_sdist_holds_sources_tests_docs_and_notebooks(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = """
        src/leadsignal/py.typed data/sample/accounts.csv docs/index.md docs/make/gallery.py
        notebooks/01-first-look.ipynb tests/test_package.py LICENSE NOTICE.md CITATION.cff
        CONTRIBUTING.md requirements.txt
    """
    assert set(wanted.split()) - names == set()
    assert [name for name in names if "__pycache__" in name or name.startswith(".venv")] == []


def test_the_wheel_runs_away_from_its_repository(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import leadsignal as ls, sys\n"
        f"assert ls.__file__.startswith({str(unpacked)!r}), ls.__file__\n"
        "from leadsignal.cli import main\n"
        "sys.exit(main(['panel', str(ls.sample_folder()), '--out', 'panel.parquet']))"
    )
    found = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=found, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "panel.parquet").exists()


HEAVY = {
    "duckdb", "lifelines", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn",
    "threadpoolctl",
}  # fmt: skip


def test_the_import_of_a_model_loads_no_heavy_library() -> None:
    code = "import sys; from leadsignal import ChurnModel; ChurnModel(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "leadsignal.model.churn_model" in loaded
    assert HEAVY & loaded == set()


def pinned(name: str) -> dict[str, list[str]]:
    """Return the versions of each package in a file of pins; there are two where Python decides."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith("#"):
            package, version = line.partition(";")[0].split("==")
            found.setdefault(package.strip(), []).append(version.strip())
    return found


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def test_the_oldest_versions_tried_are_the_lowest_declared() -> None:
    oldest = pinned("requirements-oldest.txt")
    lowest = {
        requirement.name: [Version(one.version) for one in requirement.specifier if ">" in str(one)]
        for requirement in declared()
    }
    assert lowest == {name: [Version(*oldest[name])] for name in lowest}


@pytest.mark.parametrize("name", ["", "-oldest", "-newest"])
def test_what_is_pinned_is_what_is_declared(name: str) -> None:
    versions = pinned(f"requirements{name}.txt")
    assert [
        f"{requirement.name} {version}"
        for requirement in declared()
        for version in versions[requirement.name]
        if version not in requirement.specifier
    ] == []


def test_the_core_of_the_suite_exists() -> None:
    lines = (ROOT / ".ci" / "core").read_text(encoding="utf-8").splitlines()
    named = [re.sub("^--(deselect|ignore)=", "", line) for line in lines]
    paths = [name.partition("::")[0] for name in named if not name.startswith("#")]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_citation_names_this_version() -> None:
    import leadsignal as ls

    told = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {ls.__version__}\n" in told
    assert f'version = "{ls.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
