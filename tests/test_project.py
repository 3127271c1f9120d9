from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from leadsignal.config.project import Project, UsageLow, read_project
from leadsignal.errors import OptionError, ProjectError

FULL = """
[project]
as_of = 2025-12-31
every = "4w"                 # between snapshots
horizon = "180d"
capacity = 0.2
warning_time = "60d"
analysis = "success.toml"
not_churn = ["completed"]
timezone = "Europe/Berlin"

[causes]
acquired = ["acquired", "merged"]

[usage_low]
window = "14d"
ratio = 0.4
best = "60d"
within = "200d"

[tables.accounts]
path = "crm/accounts*.csv"
columns = { account_id = "AccountId", started_on = "Go-live" }
attributes = ["segment", "employees"]
complete_from = 2021-01-01

[tables.usage]
complete_through = 2025-11-30
delimiter = "tab"
encoding = "latin-1"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "leadsignal.toml").write_text(text, encoding="utf-8")
    return folder


def faults_of(folder: Path, text: str) -> dict[str, tuple[int | None, str]]:
    with pytest.raises(ProjectError) as caught:
        read_project(write(folder, text))
    return {str(fault.column): (fault.line, str(fault)) for fault in caught.value.faults}


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "success.toml").touch()
    project = read_project(write(tmp_path, FULL))
    assert project == read_project(tmp_path / "leadsignal.toml")
    assert (project.as_of, project.every, project.warning_time) == (date(2025, 12, 31), 28, 60)
    assert project.analysis == tmp_path / "success.toml"
    assert project.causes == {"acquired": ("acquired", "merged")}
    assert project.usage_low == UsageLow(14, 0.4, 60, 200)
    accounts, usage = project.tables["accounts"], project.tables["usage"]
    assert accounts.columns == {"account_id": "AccountId", "started_on": "Go-live"}
    assert accounts.attributes == ("segment", "employees")
    assert accounts.complete_from == date(2021, 1, 1)
    assert (usage.delimiter, usage.encoding) == ("\t", "iso8859-1")
    assert usage.complete_through == date(2025, 11, 30)


def test_a_folder_needs_no_settings(tmp_path: Path) -> None:
    assert read_project(tmp_path) == Project(folder=tmp_path)
    (tmp_path / "success.toml").touch()
    assert read_project(str(tmp_path)).analysis == tmp_path / "success.toml"


def test_attributes_may_fix_their_kind(tmp_path: Path) -> None:
    text = '[tables.accounts]\nattributes = { employees = "number", zip = "text" }\n'
    accounts = read_project(write(tmp_path, text)).tables["accounts"]
    assert accounts.attributes == ("employees", "zip")
    assert accounts.attribute_kinds == {"employees": "number", "zip": "text"}


def test_all_faults_at_once_each_with_its_line(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        """[project]
as_of = "yesterday"
every = "28"
capacity = true
not_churn = "completed"

[causes]
done = ["completed"]
late = [1]

[usage_low]
ratio = 1

[tables.accounts]
attributes = ["ended_on"]
colums = { started_on = "x" }

[tables.usage]
attributes = ["x"]
""",
    )
    lines = {key: line for key, (line, _) in faults.items()}
    assert lines == {
        "project.as_of": 2,
        "project.every": 3,
        "project.capacity": 4,
        "causes.done": 8,
        "causes.late": 9,
        "usage_low.ratio": 12,
        "tables.accounts.attributes": 15,
        "tables.accounts.colums": 16,
        "tables.usage.attributes": 19,
    }
    assert "Did you mean 'columns'?" in faults["tables.accounts.colums"][1]


def test_lines_of_inline_and_dotted_keys(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        'project.every = "x"\n[tables]\naccounts = { path = 3 }\nusage.path = 4\n',
    )
    assert {key: line for key, (line, _) in faults.items()} == {
        "project.every": 1,
        "tables.accounts.path": 3,
        "tables.usage.path": 4,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[usage_low]\nwindow = "100d"\n', "is longer than best"),
        ('[usage_low]\nwithin = "50d"\n', "leaves no room for a best stretch"),
        ("[usage_low]\nbest = 3\n", "must be a duration"),
        ('project = "x"\n', "must be a section"),
        ("tables = 3\n", "must be a section"),
        ("[tables]\nusage = 3\n", "must be a section"),
        ("[causes]\nx = 3\n", "must be a list of texts"),
        ('[causes]\nx = ["a"]\ny = ["a"]\n', "is also in cause 'x'"),
        ('[causes]\nx = ["a", "a"]\n', "names something twice"),
        ("[tables.usage]\ncomplete_from = 2024-02-01\ncomplete_through = 2024-01-01\n", "before"),
        ('[tables.usage]\ncolumns = { used_on = "d", amount = "d" }\n', "to one column"),
        ('[tables.usage]\nencoding = "utf-9"\n', "is not an encoding"),
        ('[tables.usage]\ndelimiter = "~"\n', "is not a delimiter"),
        ('[tables.usage]\npath = ""\n', "must be a text"),
        ('[tables.usage]\nsource = "warehouse"\n', "is not a source"),
        ('[tables.accounts]\nattributes = { x = "date" }\n', "is not a kind of attribute"),
        ("[project]\nas_of = 2024-01-01T10:00:00\n", "must be a date"),
        ('[project]\ntimezone = "../etc/passwd"\n', "is not a time zone"),
        ('[project]\nevery = "1d"\nevery = "2d"\n', "is not valid TOML"),
        ("[project\n", "is not valid TOML"),
    ],
)
def test_what_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=problem) as caught:
        read_project(write(tmp_path, text))
    assert all(fault.line for fault in caught.value.faults)


def test_what_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such folder"):
        read_project(tmp_path / "nowhere")
    with pytest.raises(ProjectError, match="no such file"):
        read_project(tmp_path / "other.toml")
    (tmp_path / "accounts.csv").touch()
    with pytest.raises(ProjectError, match="is a file, not a folder"):
        read_project(tmp_path / "accounts.csv")
    (tmp_path / "leadsignal.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectError, match="is not UTF-8"):
        read_project(tmp_path)


def test_options_replace_settings() -> None:
    project = Project().replace(horizon="90d", as_of="2025-01-01", capacity=0.2, every=None)
    assert (project.horizon, project.as_of, project.every) == (90, date(2025, 1, 1), 29)
    assert project.replace(not_churn=["completed"]).not_churn == ("completed",)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"horizn": "9d"}, "'horizn' is not an option.*'horizon'"),
        ({"horizon": 90}, "horizon = 90: must be a duration"),
        ({"as_of": "31.12.2025"}, "must be a date"),
        ({"timezone": "Mars"}, "is not a time zone"),
        ({"not_churn": ["a"], "causes": {"a": ["a"]}}, "is also in not_churn"),
    ],
)
def test_options_are_checked_like_settings(options: dict[str, object], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        Project().replace(**options)


def test_settings_are_read_without_the_heavy_libraries() -> None:
    code = (
        "import sys, leadsignal.config.project, leadsignal.config.success, leadsignal.tables\n"
        "print([m for m in ('pandas', 'duckdb', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
