"""HTML elements with automatic escaping, and the common frame of all pages.

A page is one file that includes its style and its script, if any. Its Content-Security-Policy
forbids everything else. Pages do not depend on when they are written, so that equal input gives
identical bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from leadsignal.errors import OptionError
from leadsignal.files.outputs import PAGE, as_url, check_file
from leadsignal.files.writing import atomic_write
from leadsignal.formats import day_text, unbroken
from leadsignal.package_data import packaged_text

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Html(str):
    """Text that is already HTML; all other text is escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """Convert any value to HTML: ``Html`` stays as it is, the rest is escaped, None is empty.

    Characters that HTML forbids become U+FFFD; a number stays on one line with its percent sign.

    >>> text("<script>")
    '&lt;script&gt;'
    """
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    return Html(unbroken(escape(_UNPRINTABLE.sub("\ufffd", str(value)), quote=True)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. Attributes that are None or False are left out.

    In attribute names, a trailing underscore is dropped, and other underscores become hyphens.

    >>> tag("a", "Q&A", class_="link", href="#qa")
    '<a class="link" href="#qa">Q&amp;A</a>'
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[object], between: str = "") -> Html:
    """Concatenate pieces, each escaped unless it is HTML."""
    return Html(between.join(text(child) for child in children))


def day(value: date | None, *, year: bool = True) -> Html:
    """Return a readable date that is also machine-readable.

    >>> day(date(2024, 3, 7))
    '<time datetime="2024-03-07">7 Mar 2024</time>'
    """
    if value is None:
        return Html("")
    return tag("time", day_text(value, year=year), datetime=value.isoformat())


def account_cell(account_id: str, name: str | None, page: str | None = None) -> Html:
    """Return an account's name with its id below, or its id alone, linked to its page if any.

    >>> account_cell("A-7", "Acme"), account_cell("A-7", None)
    ('Acme <span class="id small soft">A-7</span>', 'A-7')
    """
    alone = not name or name == account_id
    shown = account_id if alone else name
    linked = tag("a", shown, href=as_url(page)) if page else text(shown)
    return linked if alone else join([linked, tag("span", account_id, class_="id small soft")], " ")


def number(value: float | None, digits: int = 4) -> str:
    """Return a number without needless digits.

    >>> number(6.50), number(12000.0), number(None), number(251.3, 2)
    ('6.5', '12,000', '', '251')
    """
    if value is None or value != value:
        return ""
    if abs(value) >= 10**digits - 0.5 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], caption: object, **attributes: Any
) -> Html:
    """Return a table with a caption; the first cell of each row is a header.

    A cell is a value, or a pair of a class and a value.
    """
    found = list(rows)
    # Headings are aligned like their columns: to the right above numbers.
    kinds = [cell[0] if isinstance(cell, tuple) else None for cell in found[0]] if found else []
    kinds += [None] * (len(head) - len(kinds))
    titled = zip(head, kinds, strict=True)
    columns = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in titled))
    body = [tag("tr", *(_cell(cell, n, head[n]) for n, cell in enumerate(row))) for row in found]
    return tag(
        "table", tag("caption", caption), tag("thead", columns), tag("tbody", *body), **attributes
    )


def _cell(cell: object, place: int, head: object) -> Html:
    kind, value = cell if isinstance(cell, tuple) else (None, cell)
    if place == 0:
        return tag("th", value, scope="row", class_=kind)
    # Each cell carries its heading, because rows become cards on a phone.
    return tag("td", value, class_=kind, data_label=str(head))


@cache
def style() -> str:
    """Return the style sheet that all pages share."""
    sheet = packaged_text("leadsignal", "page_style.css")
    sheet = re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    return _dense(sheet)


@cache
def packaged_script(file: str) -> str:
    """Return a script of the report's pages."""
    return _dense(packaged_text("leadsignal.report", file))


def _dense(text: str) -> str:
    """Return a text without indentation and blank lines."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def section(
    name: str,
    title: object,
    *children: object,
    class_: str | None = None,
    topic: str | None = None,
) -> Html:
    """Return a section with its heading, which links and screen readers use.

    If the heading is a finding, ``topic`` above it says what the finding is about.
    """
    about = tag("span", topic, class_="topic") if topic else ""
    head = tag("h2", about, " " if topic else "", title, id=f"{name}-title")
    return tag("section", head, *children, aria_labelledby=f"{name}-title", class_=class_)


def bullets(items: Iterable[object], **attributes: Any) -> Html:
    """Return a list of items; nothing without any."""
    listed = [tag("li", item) for item in items]
    return tag("ul", *listed, **attributes) if listed else Html("")


def remark(*text: object) -> Html:
    """Return a paragraph in small, soft letters."""
    return tag("p", *text, class_="small soft")


def header(title: object, below: object, facts: Iterable[tuple[str, object]] = ()) -> Html:
    """Return the top of a page: its title, the line below it, and facts, without those unknown."""
    top = tag("div", tag("h1", title), tag("p", below, class_="soft"), class_="top")
    pairs = [tag("div", tag("dt", what), tag("dd", known)) for what, known in facts if known]
    return tag("header", top, tag("dl", *pairs, class_="facts") if pairs else "")


def terms(pairs: Iterable[tuple[str, object]], **attributes: Any) -> Html:
    """Return names with their values, without those unknown; nothing if all are."""
    known = [(tag("dt", what), tag("dd", value)) for what, value in pairs if value]
    return (
        tag("dl", *(part for pair in known for part in pair), **attributes) if known else Html("")
    )


def write_page(file: str | Path, text: str, *, force: bool = False) -> Path:
    """Write a page atomically; return its path, and raise the OptionErrors of `page_path`."""
    path = page_path(file, force=force)
    with atomic_write(path, PAGE, force=force) as part:
        part.write_text(text, encoding="utf-8")
    return path


def page_path(file: str | Path, *, force: bool = False) -> Path:
    """Return the path of a page.

    Raises OptionError if the name does not end in ``.html``, there is no such folder, or the file
    exists and is not a page of leadsignal.
    """
    path = Path(file)
    if path.suffix not in (".html", ".htm"):
        raise OptionError(f"{path} ends in {path.suffix or 'nothing'}", "Write to .html")
    check_file(path, PAGE, force=force)
    return path


def figure(title: object, chart: Html, *below: object, source: str = "") -> Html:
    """Return a chart below the sentence that it supports; ``source`` says how it was computed."""
    small = tag("p", source, class_="source") if source else ""
    return tag("figure", tag("figcaption", title), chart, *below, small)


def folded(title: object, *found: object) -> Html:
    """Return a collapsible block."""
    return tag("details", tag("summary", title), *found)


def page(title: str, *body: object, description: str = "", kind: str = "", script: str = "") -> str:
    """Return a complete page: head with style and policy, the body, then the script.

    ``script`` must be our own code, never text from users or data.
    """
    sheet = style()
    allowed = f"script-src 'sha256-{_digest(script)}'; " if script else ""
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(sheet)}'; {allowed}img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="description", content=description) if description else "",
        # An empty icon keeps browsers from requesting one.
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Html(f"<style>{sheet}</style>"),
    ]
    last = Html(f"<script>{script}</script>") if script else ""
    found = tag("body", *body, last, class_=kind or None)
    whole = tag("html", "\n", tag("head", *head), "\n", found, "\n", lang="en")
    return f"<!doctype html>\n{whole}\n"


def _digest(found: str) -> str:
    return base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
