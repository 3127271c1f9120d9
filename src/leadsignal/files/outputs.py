"""Rules for where outputs may be written without destroying other files.

A regular file may be replaced if it is empty or looks like an output of the same kind. An input of
this process, or a name that the project would read, is never written to. A folder may be replaced
only if it is empty, or contains an output of the same kind and nothing else.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from leadsignal.errors import OptionError
from leadsignal.package_data import packaged_toml

LOOKED_AT = 65_536
"""Number of bytes read at the start and at the end of a file to recognise its kind."""
MAX_SHOWN = 200
ELSEWHERE = "Write somewhere else"
FORCE = "Write somewhere else, or give --force (in Python: force=True) to replace it"
DEVICES = ("/dev", "/proc", "/sys")


@dataclass(frozen=True)
class FileKind:
    """A kind of output file, and the bytes that identify it, by file extension ("" for any)."""

    what: str
    marks: Mapping[str, tuple[bytes, ...]]
    reserved: Sequence[str] = ()
    """File names in a project's folder that are reserved for this kind."""
    may_be_input: bool = False
    """Whether it may replace an input of the project, because it does not depend on that input."""


@dataclass(frozen=True)
class FolderKind:
    """A kind of output folder: the names in it, a required one, and the content of that."""

    what: str
    names: str
    needed: str = ""
    mark: bytes = b""
    alone: bool = True
    """Whether the folder must not contain anything else."""


_KINDS = packaged_toml("leadsignal.files", "kinds.toml")


def _file_kind(name: str) -> FileKind:
    entry = {"marks": {}, **_KINDS["files"][name]}
    marks = {end: tuple(map(str.encode, listed)) for end, listed in entry.pop("marks").items()}
    return FileKind(marks=marks, **entry)


def _folder_kind(name: str) -> FolderKind:
    entry = _KINDS["folders"][name]
    return FolderKind(**{**entry, "mark": entry.get("mark", "").encode()})


SCORES = _file_kind("SCORES")
CALL_LIST = _file_kind("CALL_LIST")
PANEL = _file_kind("PANEL")
PAGE = _file_kind("PAGE")
RUN_RECORD = _file_kind("RUN_RECORD")
METRICS = _file_kind("METRICS")
OUTCOME = _file_kind("OUTCOME")
COMPARISON = _file_kind("COMPARISON")
PROCESSES = _file_kind("PROCESSES")
SIMULATED = _file_kind("SIMULATED")
PROPOSAL = _file_kind("PROPOSAL")
ANALYSIS = _file_kind("ANALYSIS")
PICTURE = _file_kind("PICTURE")
BULLSEYE = _file_kind("BULLSEYE")

MODEL = _folder_kind("MODEL")
SCORES_BY_DATE = _folder_kind("SCORES_BY_DATE")
SCORES_OF_DATE = _folder_kind("SCORES_OF_DATE")
SPARK_ROWS_OF_DATE = _folder_kind("SPARK_ROWS_OF_DATE")
CACHE = _folder_kind("CACHE")
PANEL_FOLDER = _folder_kind("PANEL_FOLDER")
DEMO = _folder_kind("DEMO")
KIT = _folder_kind("KIT")
ACCOUNT_PAGES = _folder_kind("ACCOUNT_PAGES")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a project: files, folders with everything in them, and names it would read.

    ``names`` are file names in the project's folder, ``patterns`` are paths with ``*``; all paths
    are absolute and without links.
    """

    home: Path | None = None
    files: frozenset[Path] = frozenset()
    folders: frozenset[Path] = frozenset()
    names: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = field(default=())


_READ: dict[object, Inputs] = {}
"""The inputs of each project read by this process."""


def note_inputs(inputs: Inputs, key: object = None) -> None:
    """Record the inputs of a project, in place of those recorded before."""
    _READ[inputs.home if key is None else key] = inputs


def check_file(
    path: str | Path,
    kind: FileKind | None = None,
    *,
    force: bool = False,
    inputs: Iterable[Path] = (),
) -> Path:
    """Return the path to write a file to, following links; raise OptionError if not allowed.

    ``force`` allows replacing a regular file of another kind, but never an input. ``inputs`` are
    the inputs of this run in addition to the project's. Nothing that could block is opened.
    """
    target = Path(path)
    with _PathErrors(target):
        place = _followed(target)
        _refuse_inputs(target, place, kind, inputs)
        mode = _mode(place)
        if mode is None:
            _check_parent(place, target)
            return place
        if stat.S_ISDIR(mode):
            raise OptionError(f"{shown(target)} is a folder", "Name a file")
        if not stat.S_ISREG(mode):
            raise OptionError(f"{shown(target)} is {_special(mode)}, not a file", ELSEWHERE)
        if kind is not None and not force and not is_ours(place, kind):
            other = "" if kind.may_be_input else f", and is not {kind.what}"
            raise OptionError(f"{shown(target)} is there{other}", FORCE)
    return place


def check_folder(
    path: str | Path, kind: FolderKind | None = None, *, inputs: Iterable[Path] = ()
) -> Path:
    """Return the path to write a folder to, following links; raise OptionError if not allowed.

    An existing folder must be empty, or contain one of ours and nothing else; it cannot be forced.
    """
    target = Path(path)
    with _PathErrors(target):
        place = _followed(target)
        _refuse_places(target, place)
        _refuse_inputs(target, place, None, inputs)
        mode = _mode(place)
        if mode is None:
            _check_parent(place, target)
        elif not stat.S_ISDIR(mode):
            what = "a file" if stat.S_ISREG(mode) else _special(mode)
            raise OptionError(f"{shown(target)} is {what}", "Name a folder")
        elif kind is not None:
            _check_held(target, place, kind)
    return place


def is_our_folder(path: Path, kind: FolderKind) -> bool:
    """Return whether a folder contains an output of this kind and nothing else."""
    try:
        _check_held(path, path, kind)
        return any(path.iterdir())
    except (OSError, OptionError):
        return False


def check_distinct(paths: Iterable[str | Path]) -> None:
    """Refuse two outputs of one run that are the same file, or of which one contains the other."""
    seen: dict[Path, Path] = {}
    for target in map(Path, paths):
        with _PathErrors(target):
            place = _followed(target)
        if place in seen:
            raise OptionError(f"two outputs are one: {shown(seen[place])} and {shown(target)}",
                              "Give each its own")  # fmt: skip
        seen[place] = target
    for place, target in seen.items():
        for other in seen.keys() & set(place.parents):
            if (other / "model.json").exists() or not other.is_dir() or not os.listdir(other):
                raise OptionError(f"{shown(target)} is in the output {shown(seen[other])}",
                                  ELSEWHERE)  # fmt: skip


def shown(path: str | Path) -> str:
    """Return a path for a message: quoted, without control characters, and shortened."""
    text = repr(str(path))
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 2]}…{text[0]}"


def is_ours(path: Path, kind: FileKind) -> bool:
    """Return whether a regular file is empty or looks like an output of this kind."""
    with open(path, "rb") as file:
        content = file.read(LOOKED_AT)
        size = os.fstat(file.fileno()).st_size
        # The footer of Parquet.
        file.seek(max(LOOKED_AT, size - 16 * LOOKED_AT))
        content += file.read(16 * LOOKED_AT)
    if not size:
        return True
    if path.suffix.lower() == ".xlsx":
        content += _words_of_workbook(path)
    marks = kind.marks.get(path.suffix.lower(), kind.marks.get(""))
    return marks is not None and all(re.search(mark, content) for mark in marks)


def _words_of_workbook(path: Path) -> bytes:
    """Return the first words in the cells of an .xlsx file; empty if it is not one."""
    from zipfile import ZipFile

    try:
        with ZipFile(path) as book:
            # Texts are stored in the cells or in a shared list.
            listed = {"xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"} & set(book.namelist())
            return b"\n".join(book.open(name).read(LOOKED_AT) for name in sorted(listed))
    except Exception:  # noqa: BLE001 (whatever is wrong with it, we did not write it)
        return b""


class _PathErrors:
    """Convert the operating system's errors on a path to OptionError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            said = error.strerror or type(error).__name__
            raise OptionError(f"{shown(self.path)}: {said}", ELSEWHERE) from None
        if isinstance(error, ValueError) and not isinstance(error, OptionError):
            raise OptionError(f"{shown(self.path)} is not a valid path", ELSEWHERE) from None


def _followed(path: Path) -> Path:
    """Return a path without links; refuse links to a device, in a circle, or to nowhere."""
    step, left = Path(os.path.abspath(path)), 40
    while True:
        if step.is_relative_to("/dev/shm"):
            pass
        elif any(step.is_relative_to(device) for device in DEVICES):
            raise OptionError(f"{shown(path)} is a device, not a file", ELSEWHERE)
        if not step.is_symlink():
            break
        left -= 1
        if not left:
            raise OptionError(f"{shown(path)} is a circular link", "Correct the link")
        step = Path(os.path.normpath(Path(os.path.realpath(step.parent)) / os.readlink(step)))
    return Path(os.path.realpath(step))


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _special(mode: int) -> str:
    kinds: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISLNK, "a link"),
    )  # fmt: skip
    return next((what for test, what in kinds if test(mode)), "a device")


def _check_parent(place: Path, target: Path) -> None:
    if not place.parent.is_dir():
        through = f", where {shown(target)} leads" if target.is_symlink() else ""
        raise OptionError(
            f"there is no folder {place.parent if through else target.parent}{through}",
            "Create it, or write somewhere else",
        )


def _refuse_places(target: Path, place: Path) -> None:
    """Refuse folders that no output may replace, whatever they contain."""
    here = Path(os.path.realpath(os.curdir))
    for what, where in (("the current folder", here), ("the home folder", Path.home())):
        where = Path(os.path.realpath(where))
        if place == where:
            raise OptionError(f"{shown(target)} is {what}", "Name a new folder")
        if place in where.parents:
            raise OptionError(f"{shown(target)} holds {what}", "Name a new folder")


def _refuse_inputs(
    target: Path, place: Path, kind: FileKind | None, inputs: Iterable[Path]
) -> None:
    real = {Path(os.path.realpath(path)) for path in inputs}
    for noted in (*_READ.values(), Inputs(files=frozenset(real))):
        for path in {place, Path(os.path.abspath(target))}:
            _refuse_input(target, path, kind, noted)
    # With another file in it, a model cannot be read, and a date's scores cannot be rewritten.
    for parent in (place.parent, *place.parent.parents[:1]):
        if (parent / "model.json").is_file() and (parent / "SHA256SUMS").is_file():
            raise OptionError(f"{shown(target)} is in a model's folder", ELSEWHERE)
    # The next run would remove it, as it removes pages of accounts no longer listed.
    if _is_marked(place.parent / ACCOUNT_PAGES.needed, ACCOUNT_PAGES.mark):
        raise OptionError(f"{shown(target)} is in {ACCOUNT_PAGES.what}", ELSEWHERE)
    if place.parent.name.startswith("snapshot_on="):
        raise OptionError(f"{shown(target)} is in the folder of a date's scores", ELSEWHERE)


def _refuse_input(target: Path, path: Path, kind: FileKind | None, noted: Inputs) -> None:
    if kind is not None and kind.may_be_input and path.name in kind.reserved:
        return
    around = {path, *path.parents}
    if path in noted.files or noted.folders & around:
        raise OptionError(f"{shown(target)} is an input of this run", ELSEWHERE)
    within = {*noted.files, *noted.folders, *([noted.home] if noted.home else [])}
    if any(path == inside or path in inside.parents for inside in within):
        raise OptionError(f"{shown(target)} holds what is read", "Name a new folder")
    in_home = noted.home is not None and path.parent == Path(os.path.realpath(noted.home))
    free = kind.reserved if kind else ()
    read_as = in_home and path.name in noted.names and path.name not in free
    if read_as or any(fnmatchcase(str(path), pattern) for pattern in noted.patterns):
        raise OptionError(f"{shown(target)} would be read as part of the project", ELSEWHERE)


def _check_held(target: Path, place: Path, kind: FolderKind) -> None:
    entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    if not entries:
        return
    ours = [entry for entry in entries if re.fullmatch(kind.names, entry.name)]
    others = [entry.name for entry in entries if entry not in ours]
    if kind.alone:
        others += [e.name for e in ours if not e.is_file(follow_symlinks=False)]
    missing = kind.needed and kind.needed not in [entry.name for entry in ours]
    if not ours or missing or (kind.mark and not _is_marked(place / kind.needed, kind.mark)):
        raise OptionError(
            f"{shown(target)} is not empty, and is not {kind.what}"
            f" (it holds {shown((others or [entries[0].name])[0])})",
            "Name a new folder",
        )
    if kind.alone and others:
        raise OptionError(
            f"{shown(target)} holds {shown(others[0])}, which is not of {kind.what}",
            "Move it elsewhere, or name a new folder",
        )


def _is_marked(path: Path, mark: bytes) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            if re.search(mark, block):
                return True
    return False


# Names of account pages ---------------------------------------------------------------------------


HASHED = 12
"""Number of hash digits in the name of a page: enough for a million accounts."""


def plain_words(text: str) -> str:
    """Return the ASCII letters and digits of a text with hyphens between them, 60 at most.

    >>> plain_words("../Müller & Co")
    'M-ller-Co'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60].strip("-")


def page_name(account_id: str) -> str:
    """Return the file name of an account's page, the same in every run and unique to the account.

    The words are for readers. The hash distinguishes ids that differ only in other characters, or
    in case, which some file systems ignore.

    >>> page_name("A-7"), page_name("a 7")
    ('a-7-3cccbcd7a3c8.html', 'a-7-36485f44ad53.html')
    """
    digest = sha256(account_id.encode("utf-8", "surrogatepass")).hexdigest()[:HASHED]
    return "-".join(filter(None, (plain_words(account_id).lower(), digest))) + ".html"


def page_paths(
    folder: str | Path, beside: str | Path, account_ids: Iterable[str]
) -> dict[str, str]:
    """Return the paths of the pages that exist in a folder, relative to the file ``beside``.

    Accounts without a page are left out, so that no link is broken. Raises OptionError if the
    folder is not a folder of account pages.
    """
    if not (Path(folder) / ACCOUNT_PAGES.needed).is_file():
        raise OptionError(
            f"{shown(folder)} is not {ACCOUNT_PAGES.what}",
            "Write them first: leadsignal.report.write_account_pages(tables, scores, folder)",
        )
    there = set(os.listdir(folder))
    way = Path(os.path.relpath(folder, Path(beside).parent))
    names = {account: page_name(account) for account in account_ids}
    return {account: (way / name).as_posix() for account, name in names.items() if name in there}


def as_url(path: str) -> str:
    """Return a relative path as a URL, with special characters escaped.

    >>> as_url("our pages/a#b.html"), as_url("c:d/e.html")
    ('our%20pages/a%23b.html', 'c%3Ad/e.html')
    """
    return quote(os.fsencode(path))
