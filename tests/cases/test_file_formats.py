"""Files as systems export them: delimiters, compression, JSON, workbooks, titles and footers."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import leadsignal as ls
from leadsignal.sources.csv_files import BLANKS

TEXT = "account_id,started_on,arr\nA,2022-01-01,12.5\nB,2022-03-04,\n"
ROWS = [("A", date(2022, 1, 1), 12.5), ("B", date(2022, 3, 4), None)]
Write = Callable[[Path, bytes], object]


def zstd(path: Path, content: bytes) -> None:
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(content)


def plain(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def gz(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def settings(folder: Path, text: str, table: str = "accounts") -> None:
    (folder / "leadsignal.toml").write_text(
        f"[project]\nas_of = 2030-01-01\n[tables.{table}]\n{text}\n", encoding="utf-8"
    )


def rows_of(tables: ls.Tables) -> list[tuple[Any, ...]]:
    """Return id, start and ARR of each account."""
    frame = tables.frame("accounts")
    arr = frame["arr"].astype(float)
    return [
        (account, started.date(), None if value != value else value)
        for account, started, value in zip(
            frame["account_id"], frame["started_on"], arr, strict=True
        )
    ]


def workbook(path: Path, sheets: dict[str, Any]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def faults_of(folder: Path) -> list[str]:
    return [str(fault) for fault in ls.check_tables(folder).faults]


# Text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accounts.csv", "accounts.tsv", "accounts.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_any_delimiter_and_encoding_under_any_ending(
    tmp_path: Path, name: str, encoding: str, sign: str
) -> None:
    (tmp_path / name).write_bytes(TEXT.replace(",", sign).encode(encoding))
    assert rows_of(ls.read_tables(tmp_path)) == ROWS


@pytest.mark.parametrize("sign", [";", "\t", "|", "^"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_delimiter_that_excel_names_is_obeyed(tmp_path: Path, sign: str, encoding: str) -> None:
    text = f"sep={sign}\r\n" + TEXT.replace(",", sign).replace("\n", "\r\n")
    (tmp_path / "accounts.csv").write_bytes(text.encode(encoding))
    assert rows_of(ls.read_tables(tmp_path)) == ROWS
    spoilt = text.replace("2022-03-04", "soon")
    (tmp_path / "accounts.csv").write_bytes(spoilt.encode(encoding))
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.csv:4: started_on: is not a date (given: 'soon')")


@pytest.mark.parametrize(("write", "ending"), [(gz, ".gz"), (zstd, ".zst")])
@pytest.mark.parametrize("inner", [".csv", ".tsv", ".txt"])
def test_compressed_text_is_unpacked(tmp_path: Path, write: Write, ending: str, inner: str) -> None:
    write(tmp_path / f"accounts{inner}{ending}", TEXT.encode())
    tables = ls.read_tables(tmp_path)
    assert rows_of(tables) == ROWS
    assert tables.not_read == ()
    write(tmp_path / f"accounts{inner}{ending}", TEXT.replace("2022-03-04", "soon").encode())
    (fault,) = faults_of(tmp_path)
    assert fault.startswith(f"accounts{inner}{ending}:3: started_on: is not a date")


def test_parts_may_be_compressed_or_not(tmp_path: Path) -> None:
    first, second = TEXT.splitlines(keepends=True)[1:]
    header = TEXT.splitlines(keepends=True)[0]
    (tmp_path / "accounts").mkdir()
    gz(tmp_path / "accounts" / "part-1.csv.gz", (header + first).encode())
    plain(tmp_path / "accounts" / "part-2.csv", (header + second).encode())
    assert rows_of(ls.read_tables(tmp_path)) == ROWS


@pytest.mark.parametrize(("write", "ending"), [(gz, ".gz"), (zstd, ".zst")])
def test_a_damaged_compressed_file_is_a_fault(tmp_path: Path, write: Write, ending: str) -> None:
    path = tmp_path / f"accounts.csv{ending}"
    noise = random.Random(1).randbytes(40_000).hex()
    write(path, (TEXT + noise).encode())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:12], b"nonsense", whole[:40] + b"x" * 400):
        path.write_bytes(content)
        (fault,) = faults_of(tmp_path)
        assert fault.startswith(f"accounts.csv{ending}: is not a {ending} file, or is damaged")
    path.write_bytes(b"")
    assert faults_of(tmp_path)[0].startswith(f"accounts.csv{ending}: is empty")


@pytest.mark.parametrize(("write", "ending"), [(gz, ".gz"), (zstd, ".zst")])
def test_what_a_compressed_file_unpacks_to_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, ending: str
) -> None:
    write(tmp_path / f"accounts.csv{ending}", TEXT.encode() + b"\n" * 30_000_000)
    monkeypatch.setenv("LEADSIGNAL_UNPACKED", "20MB")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith(f"accounts.csv{ending}: unpacks to more than 20,000,000 bytes")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (gz, "is compressed, not text. Give it the ending .gz"),
        (zstd, "is compressed, not text. Give it the ending .zst"),
        (lambda path, _: workbook(path, {"S": [["x"]]}), "is a workbook or an archive, not text"),
        (lambda path, _: pq.write_table(pa.table({"x": [1]}), path), "is Parquet, not text"),
    ],
)
def test_a_file_under_the_ending_of_another_format(tmp_path: Path, write: Write, told: str) -> None:
    other = tmp_path / "other.xlsx"
    write(other, TEXT.encode())
    other.rename(tmp_path / "accounts.csv")
    assert faults_of(tmp_path)[0].startswith(f"accounts.csv: {told}")


# Titles and footers ------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [",", ";"])
def test_title_lines_are_skipped_where_the_header_is_named(tmp_path: Path, sign: str) -> None:
    text = f'Account report\n"Run ""today""{sign} by us"\n\n' + TEXT.replace(",", sign)
    (tmp_path / "accounts.csv").write_text(text)
    (fault,) = faults_of(tmp_path)
    assert "the header seems to be in line 4" in fault
    assert "[tables.accounts]: header_line = 4" in fault
    settings(tmp_path, "header_line = 4")
    assert rows_of(ls.read_tables(tmp_path)) == ROWS
    (tmp_path / "accounts.csv").write_text(text.replace("2022-03-04", "soon"))
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.csv:6: started_on: is not a date")


def test_a_header_of_unknown_names_below_a_title_is_proposed(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("Kunden\n\nNr,Beginn,Ende\n1,2022-01-01,\n")
    (fault,) = faults_of(tmp_path)
    assert "header_line = 3" in fault


def test_a_header_line_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(TEXT)
    settings(tmp_path, "header_line = 9")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.csv: has no line 9. Correct header_line.")


FOOTER = 'Grand Totals (2 records),,\n\n"Churn report"\n"Copyright (c) 2024, us."\n'


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_footer_is_proposed_and_left_out(tmp_path: Path, encoding: str) -> None:
    text = TEXT.replace("A,", "Ä,") + FOOTER
    (tmp_path / "accounts.csv").write_bytes(text.encode(encoding))
    faults = faults_of(tmp_path)
    assert len(faults) == 3
    assert "accounts.csv: 3 rows, first in line 4: " in repr(ls.check_tables(tmp_path))
    assert all("footer = 4 under [tables.accounts]" in fault for fault in faults)
    settings(tmp_path, "footer = 4")
    assert [row[1:] for row in rows_of(ls.read_tables(tmp_path))] == [
        ROWS[1][1:], ROWS[0][1:],
    ]  # fmt: skip
    (tmp_path / "accounts.csv").write_bytes((text + "\n\n").encode(encoding))
    assert ls.check_tables(tmp_path).tables["accounts"] == 2


def test_a_totals_row_in_a_long_file_is_found_by_its_line(tmp_path: Path) -> None:
    days = "".join(f"A{number},2022-01-01,1\n" for number in range(20_000))
    (tmp_path / "accounts.csv").write_text(f"account_id,started_on,arr\n{days}Total,,20000\n")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.csv:20002: is not a row: the last line of the file seems")
    settings(tmp_path, "footer = 1")
    assert ls.check_tables(tmp_path).tables["accounts"] == 20_000


def test_bad_rows_at_the_end_are_no_footer(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(TEXT + "Cut Off Ltd,2022\nD,,4\n")
    told = " ".join(faults_of(tmp_path))
    assert "footer" not in told
    assert "the row does not have 3 cells" in told
    assert "is empty" in told


def test_an_account_called_total_is_an_account(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(TEXT + "Total,2022-01-01,4\n")
    assert ls.check_tables(tmp_path).ok


# JSON --------------------------------------------------------------------------------------------

OBJECTS = [
    {"id": 7, "start": {"day": "2022-01-01"}, "arr": 12.5, "end": None, "tags": ["a"]},
    {"id": 8, "start": {"day": "2022-03-04"}, "arr": None, "end": ""},
]
MAPPED = 'columns = { account_id = "id", started_on = "start.day", ended_on = "end" }'
JSON_ROWS = [("7", date(2022, 1, 1), 12.5), ("8", date(2022, 3, 4), None)]


def lines(objects: list[Any]) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", lines(OBJECTS)),
        ("a.ndjson", "\n\n" + lines(OBJECTS).replace("\n", "\r\n\n")),
        ("a.json", lines(OBJECTS)),
        ("a.json", json.dumps(OBJECTS)),
        ("a.json", json.dumps(OBJECTS, indent=2)),
        ("a.json", json.dumps({"object": "list", "data": OBJECTS, "has_more": False})),
        ("a.json", json.dumps({"meta": {"n": 2}, "page": {"items": OBJECTS}}, indent=1)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("write", "ending"), [(plain, ""), (gz, ".gz"), (zstd, ".zst")])
def test_json_in_each_of_its_forms(
    tmp_path: Path, name: str, text: str, encoding: str, write: Write, ending: str
) -> None:
    write(tmp_path / f"{name}{ending}", text.encode(encoding))
    settings(tmp_path, f'path = "{name}{ending}"\n{MAPPED}')
    tables = ls.read_tables(tmp_path)
    assert rows_of(tables) == JSON_ROWS
    assert tables.frame("accounts")["ended_on"].isna().all()


def test_json_objects_need_not_be_alike(tmp_path: Path) -> None:
    rows = [
        {"account_id": 1, "started_on": "2022-01-01"},
        {"started_on": "2022-01-02", "account_id": "x/~y", "a.b": 1, "a": {"b": 2}, "c/~d": "e"},
    ]
    (tmp_path / "accounts.jsonl").write_text(lines(rows))
    settings(tmp_path, 'attributes = ["a.b", "c/~d"]')
    frame = ls.read_tables(tmp_path).frame("accounts")
    assert frame["account_id"].tolist() == ["1", "x/~y"]
    assert frame["a.b"].tolist()[1] == 1
    assert frame["c/~d"].tolist()[1] == "e"


def test_lines_that_are_no_objects_are_faults_and_the_others_keep_their_lines(
    tmp_path: Path,
) -> None:
    text = '{"account_id": "A", "started_on": "2022-01-01"}\n{"account_id": \n\n[1]\n7\n'
    text += '{"account_id": "B", "started_on": "soon"}\n'
    (tmp_path / "accounts.jsonl").write_text(text)
    assert [fault.partition(". ")[0] for fault in faults_of(tmp_path)] == [
        "accounts.jsonl:2: is not valid JSON",
        "accounts.jsonl:4: is not an object",
        "accounts.jsonl:5: is not an object",
        "accounts.jsonl:6: started_on: is not a date (given: 'soon')",
    ]
    report = ls.check_tables(tmp_path, drop_bad_rows=True)
    assert report.ok
    assert report.dropped_rows == {"accounts": 4}


def test_a_fault_in_an_array_has_its_line(tmp_path: Path) -> None:
    rows = [{"account_id": "A", "started_on": "2022-01-01"}] * 2 + [{"account_id": "B"}]
    (tmp_path / "accounts.json").write_text(json.dumps(rows[1:], indent=1))
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.json:6: started_on: is empty")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("[]", "holds no objects"),
        ("[1, 2]", "is not an object"),
        ('[{"account_id": "A"},', "ends within its array"),
        ('[{"account_id": "A", "started_on": "20', "ends within an object"),
        ('[{"account_id": "A"} {"account_id": "B"}]', "is not valid JSON"),
        ('[{"account_id": A}]', "is not valid JSON"),
        ('[{"account_id": "A"}] []', "holds more behind its array"),
        ('{"a": [{"x": 1}], "b": [{"x": 1}]}', "holds 2 arrays of objects: 'a', 'b'"),
        ('{"a": {"b": "', "ends within an object"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deep"),
    ],
)
def test_broken_json_is_told_in_words(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "accounts.json").write_text(text)
    assert problem in faults_of(tmp_path)[0]


def test_json_of_many_chunks(tmp_path: Path) -> None:
    rows = [
        {"account_id": f"A{n}", "started_on": "2022-01-01", "note": "x, [" * (n % 200)}
        for n in range(9_000)
    ]
    rows[8_000]["started_on"] = "soon"
    (tmp_path / "accounts.json").write_text(json.dumps(rows, indent=1))
    (fault,) = faults_of(tmp_path)
    assert fault.startswith(f"accounts.json:{1 + 8_000 * 5 + 3 - 2}: started_on")
    rows[8_000]["started_on"] = "2022-01-01"
    (tmp_path / "accounts.json").write_text(json.dumps(rows))
    assert ls.check_tables(tmp_path).tables["accounts"] == 9_000


# Workbooks ---------------------------------------------------------------------------------------

CELLS: list[list[Any]] = [
    ["account_id", "started_on", "arr"],
    ["A", date(2022, 1, 1), 12.5],
    ["B", datetime(2022, 3, 4, 15, 30), None],
]


def test_a_workbook_with_one_sheet(tmp_path: Path) -> None:
    workbook(tmp_path / "accounts.xlsx", {"Tabelle1": CELLS})
    assert rows_of(ls.read_tables(tmp_path)) == ROWS


def test_the_sheet_is_asked_for_where_there_are_several(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", {"Summary": [["x"]], "Customer list": CELLS})
    settings(tmp_path, 'path = "a.xlsx"')
    (fault,) = faults_of(tmp_path)
    assert "a.xlsx: holds 2 sheets: 'Summary', 'Customer list'" in fault
    settings(tmp_path, 'path = "a.xlsx"\nsheet = "Customer lists"')
    (fault,) = faults_of(tmp_path)
    assert "has no sheet 'Customer lists'. Did you mean 'Customer list'?" in fault
    settings(tmp_path, 'path = "a.xlsx"\nsheet = "Customer list"')
    assert rows_of(ls.read_tables(tmp_path)) == ROWS


def test_sheets_called_after_their_tables(tmp_path: Path) -> None:
    usage = [["account_id", "used_on", "amount"], ["A", date(2022, 2, 2), 3]]
    workbook(tmp_path / "crm.xlsx", {"Accounts": CELLS, "Usage": usage})
    (tmp_path / "leadsignal.toml").write_text(
        '[tables.accounts]\npath = "crm.xlsx"\n[tables.usage]\npath = "crm.xlsx"\n'
    )
    assert ls.check_tables(tmp_path).tables == {"accounts": 2, "usage": 1}


def test_titles_blank_lines_and_totals_of_a_workbook(tmp_path: Path) -> None:
    cells = [[], ["Customers"], [], *CELLS[:2], [], CELLS[2], ["Total", None, 12.5]]
    workbook(tmp_path / "accounts.xlsx", {"S": cells})
    assert "header_line = 4" in faults_of(tmp_path)[0]
    settings(tmp_path, "header_line = 4")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("accounts.xlsx:8: is not a row: the last line")
    assert "footer = 1" in fault
    settings(tmp_path, "header_line = 4\nfooter = 1")
    assert rows_of(ls.read_tables(tmp_path)) == ROWS


def test_cells_of_several_kinds_are_read_as_texts(tmp_path: Path) -> None:
    cells = [
        ["account_id", "started_on", "arr", "seats"],
        [17850, "2022-01-01", 1234.5, 12],
        ["00123", date(2022, 3, 4), "1.234,50 €", "12,5"],
    ]
    workbook(tmp_path / "accounts.xlsx", {"S": cells})
    settings(tmp_path, 'decimal = ","\nattributes = ["seats"]')
    tables = ls.read_tables(tmp_path)
    assert rows_of(tables) == [
        ("00123", date(2022, 3, 4), 1234.5), ("17850", date(2022, 1, 1), 1234.5),
    ]  # fmt: skip
    assert tables.frame("accounts")["seats"].astype(float).tolist() == [12.5, 12]


def test_a_damaged_workbook_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "accounts.xlsx"
    workbook(path, {"S": CELLS})
    whole = path.read_bytes()
    for content, problem in (
        (b"", "is empty"),
        (TEXT.encode(), "is not a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old kind .xls"),
        (whole[:2000], "is damaged"),
        (whole[:60] + bytes(400) + whole[460:], "is damaged"),
    ):
        path.write_bytes(content)
        (fault,) = faults_of(tmp_path)
        assert fault.startswith("accounts.xlsx: ")
        assert problem in fault


def test_a_workbook_may_not_unpack_to_more_than_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbook(tmp_path / "accounts.xlsx", {"S": [*CELLS, *([["C", "x" * 30_000, 1]] * 40)]})
    workbook(tmp_path / "usage.xlsx", {"S": [[f"c{n}" * 99 for n in range(200)]] * 90})
    monkeypatch.setenv("LEADSIGNAL_MEMORY", "1MB")
    assert any("unpacks to more than the memory" in one for one in faults_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "setting"),
    [("accounts.csv", 'sheet = "S"'), ("accounts.json", "footer = 1")],
)
def test_a_setting_of_another_format_is_refused(tmp_path: Path, name: str, setting: str) -> None:
    (tmp_path / name).write_text(TEXT)
    settings(tmp_path, setting)
    (fault,) = faults_of(tmp_path)
    assert f"Take {setting.partition(' ')[0]} out of [tables.accounts]" in fault


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".json", ".jsonl", ".xlsx", ".tsv"])
def test_no_bytes_make_it_crash(tmp_path: Path, ending: str) -> None:
    rng = random.Random(ending)
    path = tmp_path / f"accounts{ending}"
    goods = {
        ".csv.gz": gzip.compress(TEXT.encode()),
        ".json": json.dumps(OBJECTS).encode(),
        ".jsonl": lines(OBJECTS).encode(),
        ".tsv": TEXT.encode(),
    }
    if ending == ".xlsx":
        workbook(path, {"S": CELLS})
    elif ending == ".csv.zst":
        zstd(path, TEXT.encode())
    good = goods.get(ending) or path.read_bytes()
    for _ in range(25):
        spoilt = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt[: rng.randint(1, len(spoilt))])
        for fault in ls.check_tables(tmp_path).faults:
            assert fault.problem


def test_cells_are_trimmed_of_what_the_store_takes_for_blanks() -> None:
    numbers = "FROM range(1, 1114112) t(i) WHERE i NOT BETWEEN 55296 AND 57343"
    signs = f"SELECT chr(i::INT) AS sign {numbers}"
    found = duckdb.execute(f"SELECT sign FROM ({signs}) WHERE trim(sign) = ''").fetchall()
    assert {sign for (sign,) in found} == set(BLANKS)


def test_blanks_around_cells_of_a_csv_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(
        "account_id,started_on,ended_on,segment\n"
        "\u00a0a ,\u3000 2023-01-05\u2003,  , big \u202f\n"
        '" b"," Jan 6, 2023 ",,\n',
        encoding="utf-8",
    )
    accounts = ls.read_tables(tmp_path, attributes=["segment"]).frame("accounts")
    assert accounts["account_id"].tolist() == ["a", "b"]
    assert accounts["started_on"].astype(str).tolist() == ["2023-01-05", "2023-01-06"]
    assert accounts["segment"].fillna("").tolist() == ["big", ""]
    assert accounts["ended_on"].isna().all()
