"""Bad input of many kinds: one clear message each, that names the place; never another error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bad_input_kinds import KINDS, write_bad, write_good
from leadsignal.config.project import read_project
from leadsignal.config.success import read_success_analysis
from leadsignal.errors import InputError, LeadsignalError, TablesError
from leadsignal.tables import check_tables, read_tables


def read_all(folder: Path) -> None:
    project = read_project(folder)
    if project.analysis:
        read_success_analysis(project.analysis)
    read_tables(folder)


def test_the_good_folder_is_good(tmp_path: Path) -> None:
    write_good(tmp_path)
    read_all(tmp_path)


def test_there_are_at_least_sixty_kinds() -> None:
    assert len(KINDS) >= 60


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_told_clearly(name: str, tmp_path: Path) -> None:
    expected = write_bad(name, tmp_path)
    with pytest.raises(LeadsignalError) as caught:
        read_all(tmp_path)
    message = str(caught.value)
    assert re.search(expected, message), message
    assert caught.value.exit_code == 2
    assert str(tmp_path) not in message or "no table accounts" in message
    if isinstance(caught.value, InputError) and name != "three files at once":
        assert caught.value.count == 1, message


@pytest.mark.parametrize("name", ["unknown account", "three files at once", "no Parquet"])
def test_check_reports_what_reading_raises(name: str, tmp_path: Path) -> None:
    write_bad(name, tmp_path)
    with pytest.raises(TablesError) as caught:
        read_tables(tmp_path)
    report = check_tables(tmp_path)
    assert (report.ok, report.faults) == (False, caught.value.faults)
    assert report.to_dict()["fault_count"] == caught.value.count
    assert report.tables["accounts"] == 3
