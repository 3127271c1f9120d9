"""What is not wrong but deserves a second look."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Notice:
    """A remark on a table."""

    table: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"

    def to_dict(self) -> dict[str, str]:
        """Return the remark as a plain dictionary."""
        return asdict(self)
