"""Intermediate results as of one day, computed once and shared by all results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from leadsignal.arguments import refuse_elsewhere
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.unmatched_names import refuse_unknown_names
from leadsignal.errors import OptionError
from leadsignal.panel import Panel, adoption_episodes, build_snapshot
from leadsignal.result_status import results_over_time, standings
from leadsignal.results import to_html
from leadsignal.tables import Tables
from leadsignal.targets import attributes_on

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from leadsignal.account_sample import AccountSample


T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class AsOfContext:
    """Tables and an analysis with lazily computed intermediate results that many results share.

    A ``panel`` of the same tables and analysis supplies the rows on as_of and the adoption
    episodes, which are not built again; a sampled panel does not have them all. The frames are
    shared: copy one before changing it. Raises OptionError for a panel of another day or analysis,
    and SuccessAnalysisError for names in the analysis that occur in no row.

    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> tables, analysis = ls.read_tables(folder), ls.read_success_analysis(folder)
    >>> context = AsOfContext(tables, analysis)
    >>> red = ls.success_analysis.unattended_accounts(tables, analysis, context=context)
    >>> # The snapshot is not built again.
    >>> calendar = ls.success_analysis.milestone_calendar(tables, analysis, context=context)
    """

    tables: Tables
    analysis: SuccessAnalysis
    panel: Panel | None = None

    def __post_init__(self) -> None:
        for name in ("tables", "panel"):
            refuse_elsewhere(f"AsOfContext: {name}", getattr(self, name))
        refuse_unknown_names(self.tables, self.analysis)
        panel = self.panel
        if panel is None:
            return
        if panel.as_of_date != self.tables.as_of_date or panel.analysis != self.analysis:
            raise OptionError(
                f"the panel ends at {panel.as_of_date} and the tables at {self.tables.as_of_date},"
                " or their success analyses differ",
                "Give the panel that was built from these tables and this analysis",
            )

    @classmethod
    def of(
        cls,
        tables: Tables,
        analysis: SuccessAnalysis | None = None,
        context: AsOfContext | None = None,
    ) -> AsOfContext:
        """Return ``context``, or a new one if it is None.

        Raises OptionError if ``context`` belongs to other tables or another analysis.
        """
        requested = analysis or SuccessAnalysis(())
        if context is None:
            return cls(tables, requested)
        if context.tables is not tables or context.analysis != requested:
            raise OptionError(
                "context= was computed from other tables or another analysis",
                "Give AsOfContext(tables, analysis)",
            )
        return context

    @classmethod
    def at(
        cls,
        t: date | str | None,
        tables: Tables,
        analysis: SuccessAnalysis,
        panel: Panel | None = None,
    ) -> AsOfContext:
        """Return a new context of tables as of a day; None is the tables' own day."""
        return AsOfContext(tables if t is None else tables.as_of(t), analysis, panel)

    @property
    def sample(self) -> AccountSample | None:
        """The sample of customers in the tables; None unless it has weights."""
        return self.tables.sample

    @cached_property
    def snapshot(self) -> Panel:
        """The rows of the panel on as_of, as a panel."""
        if self.panel is None or SAMPLE_WEIGHT in self.panel.frame.columns:
            return build_snapshot(self.tables, self.analysis)
        return self.panel.snapshot()

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """The dates on which each account adopted each process, and on which it lapsed."""
        if self.panel is None or self.panel.episodes is None:
            return adoption_episodes(self.tables, self.analysis)
        return self.panel.episodes

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """The table of accounts."""
        return self.tables.frame("accounts")

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """The accounts by account_id, with their attributes on as_of."""
        return attributes_on(self.tables)

    @cached_property
    def results(self) -> pd.DataFrame:
        """The results of each account against its target, from `results_over_time`."""
        return results_over_time(self.tables, self.analysis)

    @cached_property
    def standings(self) -> pd.DataFrame:
        """The current result status of each account, from `standings`."""
        return standings(self.tables, self.analysis, rows=self.results)

    @cached_property
    def computed(self) -> dict[tuple[object, ...], Any]:
        """A cache of results, by the function that computed them and its arguments."""
        return {}

    def once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return the result of ``make``, which is called unless ``key`` was computed before."""
        if key not in self.computed:
            self.computed[key] = make()
        found: T = self.computed[key]
        return found

    def __repr__(self) -> str:
        built = [name for name in ("snapshot", "episodes", "accounts", "attributes", "results",
                             "standings")
                if name in self.__dict__]  # fmt: skip
        names = ", ".join(built) or "nothing yet"
        return f"AsOfContext of {self.tables.as_of_date}, computed so far: {names}"

    def _repr_html_(self) -> str:
        return to_html(repr(self))
