"""Unpack compressed files into the folder of the store before reading them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from leadsignal.errors import Fault
from leadsignal.sources.formats import PACKED, ending, packing_suffix
from leadsignal.sources.parts import UnreadableError, too_large

BLOCK = 1 << 20


class Unpacking:
    """The unpacked files of one reading, and their folder.

    ``used()`` returns the disk space used by the reading so far, in bytes; ``limit`` the maximum.
    """

    def __init__(self, folder: Path, used: Callable[[], int], limit: int) -> None:
        self.folder, self.used, self.limit = folder, used, limit
        self.unpacked = 0

    def plain(self, table: str, file: Path, shown: str) -> Path:
        """Return a file, unpacked if it is compressed; raises UnreadableError if this fails."""
        packing = packing_suffix(file.name)
        if not packing:
            return file
        self.unpacked += 1
        self.folder.mkdir(exist_ok=True)
        end = ending(file.name).removesuffix(packing)
        plain = self.folder / f"unpacked-{self.unpacked:05}{end}"
        if not file.stat().st_size:
            raise UnreadableError(_fault(table, shown, "is empty"))
        try:
            self._unpack(table, file, plain, shown)
        except UnreadableError:
            plain.unlink()
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise UnreadableError(
                _fault(table, shown, f"is not a {packing} file, or is damaged")
            ) from None
        return plain

    def shortened(self, file: Path, encoding: str, lines: int) -> Path:
        """Return a UTF-8 copy of a text file without its last lines, not counting blank ones."""
        self.unpacked += 1
        self.folder.mkdir(exist_ok=True)
        copy = self.folder / f"unpacked-{self.unpacked:05}"
        waiting: deque[str] = deque()
        blank = 0
        with (
            file.open(encoding=encoding, errors="replace", newline="") as text,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            for line in text:
                waiting.append(line)
                blank = 0 if line.strip() else blank + 1
                while len(waiting) > lines + blank:
                    out.write(waiting.popleft())
        return copy

    def _unpack(self, table: str, file: Path, plain: Path, shown: str) -> None:
        import pyarrow as pa

        room = self.limit - self.used()
        packed = pa.input_stream(str(file), compression=PACKED[packing_suffix(file.name)])
        with packed, plain.open("wb") as out:
            while block := packed.read(BLOCK):
                room -= len(block)
                if room < 0:
                    raise too_large(table, shown, self.limit)
                out.write(block)


def _fault(table: str, shown: str, problem: str) -> Fault:
    return Fault(shown, table, None, None, None, problem, "Export it again.")
