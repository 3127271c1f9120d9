"""What leadsignal raises, and the fault that input errors are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with the input: where it stands, what it is, what to do.

    ``line`` is the physical line in the file (the header is line 1), or the row number,
    counted from 1, where the source has no lines. Fields that do not apply are None.
    """

    file: str | None
    table: str | None
    line: int | None
    column: str | None
    value: str | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = self.file or self.table or ""
        if self.line is not None:
            place += f":{self.line}"
        parts = [part for part in (place, self.column) if part]
        given = "" if self.value is None else f" (given: {self.value!r})"
        return f"{': '.join(parts)}: {self.problem}{given}. {self.remedy}"

    def to_dict(self) -> dict[str, object]:
        """Return the fault as a plain dictionary, ready for JSON."""
        return asdict(self)


class LeadsignalError(Exception):
    """Base of all errors that leadsignal raises on purpose. ``exit_code`` is the command's."""

    exit_code = 2


class OptionError(LeadsignalError, ValueError):
    """An argument or option is outside what is allowed."""


class InputError(LeadsignalError, ValueError):
    """The input has faults; ``faults`` holds every one of them."""

    what = "input"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = f"{count} fault{'' if count == 1 else 's'} in the {self.what}"
        super().__init__("\n  ".join([f"{head}:", *map(str, self.faults)]))


class TablesError(InputError):
    """Tables do not hold what ``leadsignal.schema`` asks for."""

    what = "tables"


class ProjectError(InputError):
    """``leadsignal.toml`` is not valid."""

    what = "project file"


class SuccessAnalysisError(InputError):
    """``success.toml`` is not valid."""

    what = "success analysis"


class ModelError(LeadsignalError):
    """The model and the data do not fit each other."""

    exit_code = 3
