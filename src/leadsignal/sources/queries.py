"""Check that a query only reads: it must be a single SELECT in every database."""

from __future__ import annotations

import re

from leadsignal.errors import SourceError

ONE_SELECT = "A query is one SELECT, which reads and does nothing else"
_TOKEN = re.compile(
    r"""(?P<quote>'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`)
      | (?P<remark>--[^\r\n]* | /\*.*?\*/)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_FIRST = ("select", "with", "values", "table", "from")
_WRITES = ("into", "insert", "update", "delete", "merge")
"""Keywords of statements that write; as names they must be quoted."""
_BEGINS = (
    "drop", "alter", "create", "truncate", "exec", "execute", "grant", "revoke", "declare", "use",
    "set", "kill", "backup", "restore", "waitfor", "dbcc", "bulk", "shutdown", "reconfigure", "if",
    "while", "begin", "print", "commit", "rollback", "deny", "openrowset", "openquery",
    "opendatasource",
)  # fmt: skip
"""Words that begin a new statement in databases that do not require semicolons."""
NO_SEMICOLONS = ("mssql",)
HASH_REMARKS = ("mysql", "mariadb", "bigquery", "databricks", "clickhouse")
"""Databases in which # begins a comment, and -- must be followed by a space."""
_ACTS = re.compile(
    r"pg_(?!typeof$|catalog$|get_|table_is_visible$|column_size$|size_pretty$).*|lo_.*|loread|"
    r"lowrite|dblink.*|set_config|setval|nextval|.*_to_xml(schema|_and_xmlschema)?|crosstab.*|"
    r"connectby|ts_stat|ts_rewrite|currtid.*|load_extension|load_file|readfile|writefile|"
    r"fts3_tokenizer|openrowset|openquery|opendatasource|edit|sys_exec|sys_eval|xp_.*|sp_.*|utl_.*|dbms_.*|httpuritype|benchmark|"
    r"sleep|get_lock|extractvalue|updatexml|eval|java_method|reflect|try_reflect|system\$.*|"
    r"ai_query|http_.*|s3|url|file|remote|remotesecure|executable|jdbc|odbc",
    re.IGNORECASE,
)
"""Functions that access files, other programs, other servers or the server's state."""
_AMBIGUOUS: tuple[tuple[str, str, str], ...] = (
    (r"\\['\"`]", "has a backslash before a quote", "Double a quote inside a string"),
    (r"\$\w*\$", "has a string between dollar signs", "Write strings in single quotes"),
    (r"/\*[!+]|/\*M!", "has a comment that a database may execute", "Remove the comment"),
    (r"(?i)(?<!\w)n?q'|(?<!\w)u&['\"]", "has a string in a special notation",
    "Write strings in single quotes"),
    (r"\r(?!\n)", "has a carriage return without a line feed", "Break lines with line feeds"),
    (r"[\x00-\x08\x0e-\x1f\x7f]", "has control characters", "Remove them"),
)  # fmt: skip
"""Notations that databases read differently: text in one may be a statement in another."""


def one_select(query: str, dialect: str = "") -> str:
    """Return a query without a final semicolon.

    Raises SourceError unless it is certain to be a single SELECT that only reads.

    >>> one_select("SELECT 1; -- one")
    'SELECT 1'
    >>> one_select("SELECT 1) AS x; COPY (SELECT 1")
    Traceback (most recent call last):
    leadsignal.errors.SourceError: the query closes a parenthesis that it did not open. ...
    """
    for pattern, problem, remedy in _AMBIGUOUS:
        if re.search(pattern, query):
            raise SourceError(f"the query {problem}", remedy)
    if dialect in NO_SEMICOLONS and re.search(r"\[[^\]]*['\"`]", query):
        raise SourceError("the query has a quote in square brackets", "Write names in quotes")
    tokens = [found for found in _TOKEN.finditer(query) if found[0].strip()]
    meant = [found for found in tokens if found["remark"] is None]
    while meant and meant[-1][0] == ";":
        meant.pop()
    _refuse_more_than_one(meant)
    _refuse_remarks(tokens, dialect)
    _refuse_acts(meant, dialect)
    return query[: meant[-1].end()]


def _refuse_more_than_one(meant: list[re.Match[str]]) -> None:
    first = next((found[0].lower() for found in meant if found[0] != "("), "")
    if first not in _FIRST:
        raise SourceError("the query is not a SELECT", ONE_SELECT)
    depth = 0
    for found in meant:
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth < 0:
            raise SourceError("the query closes a parenthesis that it did not open", ONE_SELECT)
        if found[0] == ";":
            raise SourceError("the query is more than one statement", ONE_SELECT)
        if found[0] in ("'", '"', "`"):
            raise SourceError("the query has a quote that is never closed", "Close it")
    if depth:
        raise SourceError("the query opens a parenthesis that it does not close", "Close it")


def _refuse_remarks(tokens: list[re.Match[str]], dialect: str) -> None:
    """Refuse comments that another database would begin or end elsewhere."""
    for found in tokens:
        remark = found["remark"] or ""
        nested = remark.startswith("/*") and "/*" in remark[2:]
        joined = remark.startswith("--") and remark[2:3].strip() != "" and dialect in HASH_REMARKS
        if nested or joined or (found[0] == "#" and dialect in HASH_REMARKS):
            raise SourceError(
                "the query has a comment that databases read differently",
                "Write it as -- comment, on a separate line",
            )
        if found[0] == "/" and found.string.startswith("*", found.end()):
            raise SourceError("the query has a comment that is never closed", "Close it")


def _refuse_acts(meant: list[re.Match[str]], dialect: str) -> None:
    refused = {*_WRITES, *(_BEGINS if dialect in NO_SEMICOLONS else ())}
    for found, after in zip(meant, [*meant[1:], None], strict=True):
        called = after is not None and after[0] == "("
        word = found["word"]
        if word and word.lower() in refused and not (called and word.lower() == "insert"):
            remedy = f'{ONE_SELECT}; as the name of a column, write it in quotes: "{word}"'
            raise SourceError(f"the query has the word {word.upper()}", remedy)
        name = word or _name_in(found["quote"])
        if called and name and _ACTS.fullmatch(name):
            raise SourceError(f"the query calls {name}", ONE_SELECT)


def _name_in(quote: str | None) -> str | None:
    """Return the name in double quotes or backticks."""
    return quote[1:-1] if quote and quote[0] in '"`' else None
