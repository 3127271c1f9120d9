"""Results that a report shows in addition to the panel, the backtest and the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from leadsignal.arguments import checked
from leadsignal.errors import LeadsignalError
from leadsignal.results import to_html
from leadsignal.workers import Progress

if TYPE_CHECKING:
    from leadsignal.churn.retention import Retention
    from leadsignal.cohorts.overview import Overview
    from leadsignal.evaluation.audit import Audit
    from leadsignal.model.hazard_ratios import HazardRatios
    from leadsignal.panel import Panel
    from leadsignal.success_analysis.adoption import Adoption
    from leadsignal.success_analysis.customer_fit import CustomerFit
    from leadsignal.success_analysis.gaps import SuccessGaps
    from leadsignal.success_analysis.milestones import MilestoneCalendar, UnattendedAccounts
    from leadsignal.success_analysis.successful import SuccessfulAccounts
    from leadsignal.tables import Tables

METHODS = ("naive", "time_dependent", "landmark")
"""Methods of the cohort comparisons; a target trial of each cohort would take minutes."""


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """Results for the sections of a report; None if a result is missing.

    ``missing`` gives the reason by name. The report shows one line for such a section.
    """

    audit: Audit | None = None
    cohorts: Overview | None = None
    reasons: CustomerFit | None = None
    adoption: Adoption | None = None
    milestones: MilestoneCalendar | None = None
    red: UnattendedAccounts | None = None
    successful: SuccessfulAccounts | None = None
    gaps: SuccessGaps | None = None
    retention: Retention | None = None
    trailing_retention: Retention | None = None
    ratios: HazardRatios | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all possible results."""
        return tuple(one.name for one in fields(cls) if one.name != "missing")

    @property
    def there(self) -> tuple[str, ...]:
        """Names of the available results."""
        return tuple(name for name in self.names() if getattr(self, name) is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return each available result as a dictionary, ready for JSON."""
        found = {name: getattr(self, name).to_dict() for name in self.there}
        return {**found, "missing": dict(self.missing)}

    def __repr__(self) -> str:
        lines = [f"Findings: {', '.join(self.there) or 'none'}"]
        return "\n".join([*lines, *(f"  no {name}: {why}" for name, why in self.missing.items())])

    def _repr_html_(self) -> str:
        return to_html(repr(self))


@checked
def gather_findings(
    tables: Tables, panel: Panel, *, progress: Progress | None = None, **ready: Any
) -> Findings:
    """Compute the results that the sections of a report show.

    Parameters
    ----------
    tables : Tables
        The tables.
    panel : Panel
        The panel of these tables.
    progress : callable, optional
        Called with the number of results that are computed, and their total.
    **given
        Results that exist already, by name, as in ``audit=audit``.

    Returns
    -------
    Findings
        The results; those that the tables do not allow are None, with the reason in ``missing``.

    Raises
    ------
    TypeError
        For a name that is not a result of a report.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables, ls.read_success_analysis(ls.sample_folder()))
    >>> audit = ls.audit_indicators(panel)
    >>> "adoption" in ls.report.gather_findings(tables, panel, audit=audit).there
    True
    """
    unknown = [name for name in ready if name not in Findings.names()]
    if unknown:
        allowed = ", ".join(Findings.names())
        raise TypeError(f"{', '.join(unknown)} is no result of a report; they are {allowed}")
    makers = {
        name: make
        for name, make in _makers(tables, panel).items()
        if ready.get(name) is None
    }  # fmt: skip
    results, missing = dict(ready), {}
    for number, (name, result) in enumerate(_results(makers), start=1):
        if isinstance(result, LeadsignalError):
            missing[name] = str(result)
        else:
            results[name] = result
        if progress:
            progress(number, len(makers))
    reasons = {name: missing[name] for name in makers if name in missing}
    return Findings(**results, missing=reasons)


OF_PANEL = ("audit", "ratios")
"""Results of the panel, which are computed in parallel with those of the tables."""


def _results(makers: Mapping[str, Callable[[], Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each result when it is computed, or the LeadsignalError raised instead.

    Results of the panel and of the tables are computed in parallel if there are two cores. Each
    uses one thread, so that sums have one order and the same last digit.
    """
    from leadsignal.workers import one_thread, threads

    with one_thread(), ThreadPoolExecutor(1) as of_panel, ThreadPoolExecutor(1) as of_tables:
        text = {}
        for name, make in makers.items():
            aside = name in OF_PANEL and threads() > 1
            text[(of_panel if aside else of_tables).submit(make)] = name
        try:
            for one in as_completed(text):
                error = one.exception()
                yield text[one], error if isinstance(error, LeadsignalError) else one.result()
        finally:
            for one in text:
                one.cancel()


def _makers(tables: Tables, panel: Panel) -> dict[str, Callable[[], Any]]:
    """Return the function that computes each result; imports are local because few are needed."""
    from leadsignal.as_of_context import AsOfContext
    from leadsignal.churn.retention import retention_table
    from leadsignal.cohorts.overview import compare_all
    from leadsignal.evaluation.audit import audit_indicators
    from leadsignal.model.hazard_ratios import hazard_ratios
    from leadsignal.success_analysis.adoption import adoption_table
    from leadsignal.success_analysis.customer_fit import reasons_to_buy
    from leadsignal.success_analysis.gaps import find_success_gaps
    from leadsignal.success_analysis.milestones import milestone_calendar, unattended_accounts
    from leadsignal.success_analysis.successful import most_successful

    analysis = panel.analysis
    context = AsOfContext(tables, analysis, panel)
    return {
        "audit": lambda: audit_indicators(panel),
        "cohorts": lambda: compare_all(tables, analysis, methods=METHODS, context=context),
        "reasons": lambda: reasons_to_buy(tables, analysis, context=context),
        "adoption": lambda: adoption_table(tables, analysis, context=context),
        "milestones": lambda: milestone_calendar(tables, analysis, context=context),
        "red": lambda: unattended_accounts(tables, analysis, context=context),
        "successful": lambda: most_successful(tables, analysis, context=context),
        "gaps": lambda: find_success_gaps(tables, analysis, context=context),
        "retention": lambda: retention_table(tables, every="month"),
        "trailing_retention": lambda: retention_table(tables, every="month", over=12),
        "ratios": lambda: hazard_ratios(panel, over_tenure=False),
    }
