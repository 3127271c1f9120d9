"""The result status of each account, and other intermediate results as of one day.

Single results are noisy, so an account is *on target* after a result if the mean of that result and
the two before it is at the target or better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from leadsignal.arguments import refuse_elsewhere
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.recipe import refuse_unknown_names
from leadsignal.errors import OptionError
from leadsignal.panel import Panel, adoption_episodes, build_snapshot
from leadsignal.results import to_html
from leadsignal.tables import Tables
from leadsignal.targets import ROUNDING, attributes_on, own_results

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from leadsignal.account_sample import AccountSample


TOGETHER = 3
"""Number of results that are averaged before the comparison with the target."""
YEAR = 365
TREND_RESULTS, TREND_DAYS, PER = 4, 90, 90
"""Minimum numbers of results and of days between them for a trend, which is per ``PER`` days."""
TRENDS = ("rising", "steady", "falling", "not known")


def results_over_time(tables: Tables, analysis: SuccessAnalysis | None = None) -> pd.DataFrame:
    """Return each account's results in its own metric, with their distance to the target.

    One row per account and day: account_id, metric, measured_on, value, target, higher_is_better,
    ``gap`` (distance as a share of the target, positive if better, missing if the target is 0),
    ``mean_gap`` and ``on_target`` (over this result and the two before; missing before the third).
    `leadsignal.targets` defines metric and results: of several on one day, the best counts.
    Raises OptionError if the tables hold no results with targets.
    """
    if "results" not in tables.names or "target" not in tables.columns("results"):
        raise OptionError(
            "success is read from the table results, with its column target",
            "Add the results that customers measure, and what they want to reach",
        )
    rows = own_results(tables, analysis)
    rows = rows[rows["target"].notna()]
    # Within a day, the best result is last.
    rows = rows.drop_duplicates(["account_id", "measured_on"], keep="last", ignore_index=True)
    columns = ["account_id", "metric", "measured_on", "value", "target", "higher_is_better", "gap"]
    beyond, rows = rows["beyond"], rows[columns]
    # Round, so that equal means are equal numbers when ranked or sorted.
    rows["mean_gap"] = _rolling(rows, rows["gap"].astype(float)).round(12)
    mean = _rolling(rows, beyond)
    # Rolling sums can miss the target by 1e-16 even if the mean equals it.
    met = (mean >= -ROUNDING * rows["target"].abs().clip(lower=ROUNDING)).astype(object)
    rows["on_target"] = met.where(mean.notna(), None)
    return rows


def _rolling(rows: pd.DataFrame, values: Any) -> Any:
    """Return the mean of each value and the two before it, missing before the third."""
    of_account = values.groupby(rows["account_id"])
    return sum((of_account.shift(back) for back in range(1, TOGETHER)), start=values) / TOGETHER


def standings(
    tables: Tables, analysis: SuccessAnalysis | None = None, *, rows: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the status of each account with results at ``as_of_date``, one row per account_id.

    Columns: metric, value, target, higher_is_better and measured_on of the latest result;
    ``days_old``, its age; ``results`` and ``level`` (mean gap) over the last 365 days; ``mean_gap``
    and ``on_target`` over the last three results; ``since``, the first day of the current unbroken
    time on target, and ``days_on_target``; ``slope``, the change of the gap per 90 days, with
    ``slope_low`` and ``slope_high`` (95 % interval, least squares over the last 365 days); and
    ``trend``, a word for it. ``rows`` are those of `results_over_time`, if already computed.
    """
    import pandas as pd

    rows = results_over_time(tables, analysis) if rows is None else rows
    as_of = pd.Timestamp(tables.as_of_date)
    rows = rows.assign(age=(as_of - pd.to_datetime(rows["measured_on"])).dt.days)
    last = rows.groupby("account_id").tail(1).set_index("account_id")
    lately = rows[rows["age"] <= YEAR]
    latest = last.rename(columns={"age": "days_old"}).drop(columns=["gap"])
    latest["results"] = lately.groupby("account_id").size().reindex(latest.index, fill_value=0)
    latest["level"] = lately.groupby("account_id")["gap"].mean().reindex(latest.index)
    latest["since"] = _since(rows).reindex(latest.index)
    latest["days_on_target"] = (as_of - latest["since"]).dt.days
    return latest.join(_slopes(lately)).assign(trend=lambda f: _trend(f)).sort_index()


def _since(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return the first day of the current time on target, for accounts on target."""
    import pandas as pd

    on = rows["on_target"].eq(True)
    off_later = (~on)[::-1].groupby(rows["account_id"][::-1]).cumsum()[::-1]
    current_run = rows[on & (off_later == 0)]
    return pd.to_datetime(current_run.groupby("account_id")["measured_on"].min())


def _slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the least squares slope of the gap by account, with its 95 % interval."""
    import pandas as pd
    from scipy.special import stdtrit

    known = rows[rows["gap"].notna()]
    account, x, y = known["account_id"], -known["age"] / PER, known["gap"]
    x = x - x.groupby(account).transform("mean")
    y = y - y.groupby(account).transform("mean")
    sums = pd.DataFrame({"xx": x * x, "xy": x * y, "yy": y * y}).groupby(account).sum()
    n = known.groupby("account_id").size()
    span = known.groupby("account_id")["age"].agg(lambda ages: ages.max() - ages.min())
    enough = (n >= TREND_RESULTS) & (span >= TREND_DAYS)
    slope = (sums["xy"] / sums["xx"].where(sums["xx"] > 0)).where(enough)
    rest = (sums["yy"] - slope * sums["xy"]).clip(lower=0) / (n - 2)
    reach = np.sqrt(rest / sums["xx"]) * stdtrit(np.maximum(n - 2, 1), 0.975)
    return pd.DataFrame({"slope": slope, "slope_low": slope - reach, "slope_high": slope + reach})


def _trend(statuses: pd.DataFrame) -> Any:
    known = statuses["slope"].notna()
    return np.select(
        [~known, statuses["slope_low"] > 0, statuses["slope_high"] < 0],
        ["not known", "rising", "falling"],
        "steady",
    )


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
