"""Wheel and sdist hold what a user needs; the wheel runs away from its repository.

`.ci/package` does the same in empty environments, with the dependencies installed anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

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
    assert (package / "report" / "style.css").exists()
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


def test_the_citation_names_this_version() -> None:
    import leadsignal as ls

    told = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {ls.__version__}\n" in told
    assert f'version = "{ls.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
