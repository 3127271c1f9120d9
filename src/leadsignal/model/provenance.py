"""Provenance of a model: tables, indicators, options, and a fingerprint of the rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from leadsignal.config.project import Behaviors
from leadsignal.errors import is_name
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    DaysInState,
    Indicator,
    Lapses,
    ProcessState,
    UsageToBest,
    measures,
)

if TYPE_CHECKING:
    from leadsignal.panel import Panel


@dataclass(frozen=True)
class Origin:
    """Provenance of a model.

    ``tables`` maps tables to the columns that were read, ``indicators`` maps indicators to the
    tables they are computed from, and ``options`` has the project's settings. ``fingerprint`` is
    the SHA-256 of the panel's rows. All are empty if they are not known.

    >>> Origin().to_dict()["tables"]
    {}
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indicators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @classmethod
    def of(cls, panel: Panel) -> Origin:
        """Return the origin of a panel's rows."""
        return cls(
            {name: tuple(columns) for name, columns in panel.columns.items()},
            {indicator.name: tables_of(indicator) for indicator in panel.indicators},
            _options(panel),
            _fingerprint(panel),
        )

    @property
    def behaviors(self) -> Behaviors | None:
        """Behaviours that had indicators of their own; None if not known."""
        kept = self.options.get("behaviors")
        if not isinstance(kept, Mapping):
            return None
        return Behaviors(tuple(kept["keep"]), bool(kept["others"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the origin as plain dictionaries and lists, ready for JSON."""
        return {
            "tables": {name: list(columns) for name, columns in self.tables.items()},
            "indicators": {name: list(tables) for name, tables in self.indicators.items()},
            "options": dict(self.options),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Origin:
        """Return the origin that `to_dict` wrote; raise ValueError or TypeError otherwise."""
        if set(content) - set(asdict(cls())):
            raise ValueError("unknown keys")
        lists = {
            key: {str(name): _texts(values) for name, values in content.get(key, {}).items()}
            for key in ("tables", "indicators")
        }
        fingerprint = content.get("fingerprint", "")
        if not isinstance(fingerprint, str) or not re.fullmatch("[0-9a-f]{0,64}", fingerprint):
            raise ValueError("the fingerprint is invalid")
        tables = [name for names in lists["indicators"].values() for name in names]
        if not all(map(is_name, (*lists["tables"], *lists["indicators"], *tables))):
            raise ValueError("a name is invalid")
        options = dict(content.get("options", {}))
        _check_behaviors(options.get("behaviors"))
        return cls(**lists, options=options, fingerprint=fingerprint)


def _check_behaviors(kept: object) -> None:
    if kept is None:
        return
    if not isinstance(kept, Mapping) or set(kept) != {"keep", "others"}:
        raise ValueError("the behaviours are invalid")
    _texts(kept["keep"])


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return tuple(values)


def tables_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the tables that an indicator is computed from; accounts for facts about the account.

    >>> from leadsignal.indicators.declare import Trailing
    >>> tables_of(Indicator("n", "f", "leading", "", "", Trailing("tickets", "opened_at", 30)))
    ('tickets',)
    """
    tables = []
    for measure in measures(indicator.rule):
        if isinstance(measure, ProcessState | DaysInState | AdoptedShare | Lapses):
            tables.append("behaviors")
        elif isinstance(measure, UsageToBest):
            tables.append("usage")
        elif isinstance(measure, Attribute) and measure.dated:
            tables.append("account_changes")
        else:
            tables.append(getattr(measure, "table", "accounts"))
    return tuple(dict.fromkeys(tables))


def _options(panel: Panel) -> dict[str, Any]:
    project = panel.project
    return {
        "every_days": panel.every,
        "behaviors": _behaviors(panel.behaviors),
        "timezone": project.timezone,
        "not_churn": list(project.not_churn),
        "causes": {cause: list(reasons) for cause, reasons in project.causes.items()},
        "usage_low": {**asdict(project.usage_low), "series": list(project.usage_low.series)},
        "tables": {
            name: {
                "columns": dict(source.columns),
                "attributes": list(source.attributes),
                "complete_from": _day(source.complete_from),
                "complete_through": _day(source.complete_through),
            }
            for name, source in project.tables.items()
        },
    }


def _behaviors(kept: Behaviors | None) -> dict[str, Any] | None:
    return None if kept is None else {"keep": list(kept.keep), "others": kept.others}


def _day(day: Any) -> str | None:
    return None if day is None else day.isoformat()


def _fingerprint(panel: Panel) -> str:
    import pandas as pd

    digest = hashlib.sha256(",".join(panel.frame.columns).encode())
    digest.update(pd.util.hash_pandas_object(panel.frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
