"""No secret in leadsignal.toml, none in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadsignal.config.credentials import (
    Source,
    hide_secrets,
    is_secret_name,
    open_source,
    secret_in,
)
from leadsignal.config.project import read_project
from leadsignal.errors import ProjectError, SourceError

SECRET = "hunter2 ü/@:%&'\"\\"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "leadsignal.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql://me:hun/ter2@host/db",
        "postgresql://me:hun?ter2@host/db",
        "postgresql://me:hun#ter2@host/db",
        "postgresql://me:hun@ter2@host/db",
        "postgresql://me:12/hunter2@host/db",
        "postgresql://:hunter2@host/db",
        "postgresql://me@host/db?password=hunter2",
        "postgresql://me@host/db?sslmode=require&sslpassword=hunter2",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3Dhunter2",
        "snowflake://me@account/db?private_key=hunter2",
        "https://store/accounts.csv?X-Amz-Signature=hunter2",
        "https://store.blob/accounts.csv?sv=2024&sig=hunter2",
        "s3://key:hunter2@bucket/accounts.csv",
    ],
)
def test_a_url_with_a_secret_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        read_project(write(tmp_path, f'[sources.crm]\nurl = "{url}"\n'))
    (fault,) = caught.value.faults
    assert (fault.column, fault.line, fault.value) == ("sources.crm.url", 2, None)
    assert "password" in fault.problem or "secret" in fault.problem
    assert "ter2" not in str(caught.value)
    table = f'[tables.accounts]\npath = "{url}"\n'
    with pytest.raises(ProjectError, match=r"tables\.accounts\.path: holds") as caught:
        read_project(write(tmp_path, table))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@host:5432/db?application_name=me@corp",
        "postgresql://host:5432/db",
        "postgresql://host:5432/db?user=me@corp",
        "postgresql:///db",
        "sqlite:////tmp/a@b:c.db",
        "duckdb:///crm.duckdb",
        "s3://bucket/monkey/a@b.csv",
        "postgresql://[::1]:5432/db",
    ],
)
def test_a_url_without_a_secret_is_taken(url: str) -> None:
    assert secret_in(url) is None


def test_other_places_for_secrets_are_refused(tmp_path: Path) -> None:
    text = """
[sources.crm]
url = "postgresql://me@host/db"
password = "hunter2"
options = { token = "hunter2", "adbc.snowflake.sql.client_option.jwt_private_key" = "hunter2" }
[sources.lake]
url = "s3://bucket"
options = { client_kwargs = { aws_secret_access_key = "hunter2" }, key = "hunter2", anon = true }
"""
    with pytest.raises(ProjectError) as caught:
        read_project(write(tmp_path, text))
    assert [fault.column for fault in caught.value.faults] == [
        "sources.crm.password",
        "sources.crm.options.token",
        "sources.crm.options.adbc.snowflake.sql.client_option.jwt_private_key",
        "sources.lake.options.client_kwargs",
        "sources.lake.options.key",
    ]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2',
        "url = postgresql://me:hunter2@host/db",
        'url = "postgresql://me:hunter2@host/db',
        "token = hunter2",
        "options = { secret = hunter2 }",
    ],
)
def test_a_line_that_is_no_toml_is_not_shown_where_it_may_hold_a_secret(
    line: str, tmp_path: Path
) -> None:
    with pytest.raises(ProjectError, match="is not valid TOML") as caught:
        read_project(write(tmp_path, f"[sources.crm]\n{line}\n"))
    assert "hunter2" not in str(caught.value)


def test_names_of_secrets() -> None:
    for name in ("password", "aws_secret_access_key", "SSLPASSWORD", "access-token", "key", "sas"):
        assert is_secret_name(name), name
    for name in ("region", "anon", "endpoint_url", "monkey", "keyspace", "schema", "project"):
        assert not is_secret_name(name), name


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PASSWORD", SECRET)
    monkeypatch.setenv("CRM_USER", "m:e")
    source = Source(
        "crm", "postgresql://host:5/db", user_env="CRM_USER", password_env="CRM_PASSWORD"
    )
    access = open_source(source)
    assert access.url.startswith(
        "postgresql://m%3Ae:hunter2%20%C3%BC%2F%40%3A%25%26%27%22%5C@host:5"
    )
    for told in (access.url, SECRET, repr(SECRET), f"x{SECRET}x", f"{access.url}?a"):
        assert "hunter2" not in access.hide(told)
    assert "hunter2" not in f"{access} {source!r}"


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRM_URL", raising=False)
    with pytest.raises(SourceError, match="variable CRM_URL of source 'crm' is not set"):
        open_source(Source("crm", url_env="CRM_URL"))
    monkeypatch.setenv("CRM_URL", "hunter2")
    with pytest.raises(SourceError, match=r"what \$CRM_URL holds .* is not a URL") as caught:
        open_source(Source("crm", url_env="CRM_URL"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["p://u:hun@ter2@h", "p://u:hun/ter2@h", "p://u:hun?ter2@h"])
def test_a_url_of_which_a_driver_would_take_half_a_password_for_a_host(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_URL", url)
    with pytest.raises(SourceError, match="Write them as %40") as caught:
        open_source(Source("crm", url_env="CRM_URL"))
    assert "ter2" not in str(caught.value)


def test_a_file_outside_the_project(tmp_path: Path) -> None:
    held = tmp_path / "crm.toml"
    held.write_text('user = "me"\npassword = "hunter2"\n[options]\nrole = "reader"\n')
    text = '[sources.crm]\nurl = "postgresql://host/db"\ncredentials = "../crm.toml"\n'
    access = open_source(read_project(write(tmp_path / "project", text)).sources["crm"])
    assert access.url == "postgresql://me:hunter2@host/db"
    assert access.options == {"role": "reader"}
    for content, said in [
        ("password = hunter2", "not valid TOML"),
        ("passwort = 'hunter2'", "does not contain the expected keys"),
        ("password = 2", "does not contain the expected keys"),
        ("options = 'hunter2'", "does not contain the expected keys"),
    ]:
        held.write_text(content)
        with pytest.raises(SourceError, match=said) as caught:
            open_source(read_project(tmp_path / "project").sources["crm"])
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["crm.toml", "sub/../crm.toml", "link.toml", "../project/crm.toml"]
)
def test_a_file_inside_the_project_is_refused(place: str, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "project",
        f'[sources.crm]\nurl = "postgresql://host/db"\ncredentials = "{place}"\n',
    )
    (folder / "sub").mkdir()
    (folder / "crm.toml").write_text('password = "hunter2"')
    (tmp_path / "outside.toml").write_text('password = "hunter2"')
    (folder / "link.toml").symlink_to(tmp_path / "outside.toml")
    (tmp_path / "alias").symlink_to(folder)
    for project in (folder, tmp_path / "alias"):
        with pytest.raises(ProjectError, match="is inside the project's folder") as caught:
            read_project(project)
        assert "hunter2" not in str(caught.value)


def test_what_looks_like_a_password_is_hidden_even_if_nobody_said_it_is() -> None:
    for said in (
        "cannot reach postgresql://me:hunter2@host/db",
        "cannot reach postgresql://me:hun/ter2@host/db",
        "bad dsn host=x password=hunter2 user=y",
        'bad dsn password="hun ter2"',
        "https://x/?a=1&access_token=hunter2&b=2",
    ):
        assert "ter2" not in hide_secrets(said), said
    assert hide_secrets("10:30 at https://docs.x/a:b") == "10:30 at https://docs.x/a:b"
