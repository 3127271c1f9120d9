"""The law of the simulated business, the traits of its accounts, and random numbers for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from leadsignal.package_data import packaged_toml

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "leadsignal.datasets"
CURRENCY = "EUR"
Array = NDArray[Any]
T = TypeVar("T")


def map_arrays(function: Callable[..., Array], *parts: T) -> T:
    """Apply a function to the arrays that dataclasses of one type hold in each field."""
    names = [field.name for field in fields(parts[0])]  # type: ignore[arg-type]
    return type(parts[0])(
        **{name: function(*(getattr(part, name) for part in parts)) for name in names}
    )


def stacked(*arrays: Array) -> Array:
    """Concatenate arrays of accounts."""
    return np.concatenate(arrays)


NAMES = packaged_toml(PACKAGE, "names.toml")
WHO: Sequence[str] = NAMES["draws"]["once"]
WEEKLY: Sequence[str] = NAMES["draws"]["weekly"]


def _stream(seed: int, slot: int, life: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(slot, life, purpose)))


def draw_who(seed: int, slots: Array, lives: Array) -> dict[str, Array]:
    """Draw the uniforms in (0, 1) that are drawn once per account, each of shape (accounts,)."""
    block = np.empty((len(slots), len(WHO)))
    for row, (slot, life) in enumerate(zip(slots, lives, strict=True)):
        block[row] = _stream(seed, int(slot), int(life), 0).random(len(WHO))
    block = np.clip(block, 1e-7, 1 - 1e-7)
    return {name: block[:, column] for column, name in enumerate(WHO)}


def draw_weeks(seed: int, slots: Array, lives: Array, first: Array, weeks: int) -> dict[str, Array]:
    """Draw weekly uniforms, each of shape (accounts, weeks), from each account's first week on."""
    block = np.full((len(slots), weeks, len(WEEKLY)), 0.5, dtype=np.float32)
    for row, (slot, life, begin) in enumerate(zip(slots, lives, first, strict=True)):
        stream = _stream(seed, int(slot), int(life), 1)
        stream.random(out=block[row, begin:], dtype=np.float32)
    np.clip(block, 1e-6, 1 - 1e-6, out=block)
    return dict(zip(WEEKLY, np.ascontiguousarray(np.moveaxis(block, 2, 0)), strict=True))


def draw_events(seed: int, slots: Array, lives: Array, counts: Array) -> Array:
    """Draw two uniforms per event, ordered by account; shape (events, 2)."""
    block = np.empty((int(counts.sum()), 2), dtype=np.float32)
    stops = np.cumsum(counts)
    for slot, life, stop, count in zip(slots, lives, stops, counts, strict=True):
        stream = _stream(seed, int(slot), int(life), 2)
        stream.random(out=block[stop - count : stop], dtype=np.float32)
    return block


def normal(uniform: Array) -> Array:
    """Convert uniforms to standard normal draws."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform))


def poisson(uniform: Array, mean: Array) -> Array:
    """Convert uniforms to Poisson counts (at most 40) with the given means."""
    uniform, mean = np.broadcast_arrays(uniform, mean)
    probability = np.exp(-mean)
    total = probability.copy()
    count = np.zeros(uniform.shape, dtype=np.int64)
    for k in range(1, 41):
        more = uniform > total
        if not more.any():
            break
        count += more
        probability = probability * mean / k
        total = total + probability
    return count


def pick(uniform: Array, weights: tuple[float, ...] | Array) -> Array:
    """Convert uniforms to indices drawn with the given weights."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.minimum(np.searchsorted(edges / edges[-1], uniform), len(edges) - 1)


def account_uniforms(frame: pd.DataFrame, seed: int, purpose: int) -> Array:
    """Draw two uniforms per row from a stream for each account; shape (rows, 2)."""
    out = np.empty((len(frame), 2))
    accounts = frame["account_id"].to_numpy()
    edges = np.flatnonzero(accounts[1:] != accounts[:-1]) + 1
    for begin, end in zip([0, *edges], [*edges, len(frame)], strict=True):
        if begin == end:
            continue
        slot, _, again = str(accounts[begin])[2:].partition("-")
        stream = _stream(seed, int(slot), 2000 + bool(again), purpose)
        out[begin:end] = stream.random((end - begin, 2))
    return out


# Laws ---------------------------------------------------------------------------------------------


UsageEnd = Literal["none", "late", "slow", "disengagement", "quiet"]


@dataclass(frozen=True)
class Law:
    """The causal effects in a simulated world, on the log of the daily hazard.

    ``process_effect`` is per process practised; ``result_effect`` is from no success to full
    success; ``ticket_effect`` applies while an account is in trouble, ``contract_effect`` for half
    a year after a reduction, ``handoff_effect`` for a quarter after a new sales rep, and
    ``measuring_effect`` from the first measured result on. ``commitment_effect``, ``rep_effect``
    and ``size_effect`` are per standard deviation. Protective effects are positive numbers.

    ``usage_end`` says what happens between the decision to leave and its announcement: usage
    stays (``none``), falls in the last two to six weeks for ``fall_share`` of the accounts
    (``late``), falls for months (``slow``), or everything slows down for months
    (``disengagement``). With ``quiet``, there is no activity and no new ticket in the last 60 to
    180 days.

    ``notice`` precedes the end, as the term requires or by ``notice_days``. With
    ``stops_at_notice``, all behaviours, usage and results stop on the day of notice. Without
    ``notice_recorded``, the day of notice is missing from accounts.

    ``size_confounds`` makes large accounts adopt more. An unobserved quality lowers the hazard by
    ``quality_effect`` and raises the rate of all other behaviours by ``quality_shows``, both per
    standard deviation; accounts with more of it also adopt more. ``slow_in_trouble`` is the share
    by which trouble, which ``tickets_in_trouble`` may hide, slows measuring. ``rate_changes``
    multiply the hazard from a date on, cumulatively. The processes protect up to
    ``reversal_years`` of tenure and harm afterwards, and act only on accounts of
    ``process_segment`` if one is named. With ``practice_counts_for_months``, protection depends on
    the share of the last 26 weeks in which they were practised, not on practice today. With
    ``reps_by_age``, newer and older accounts have different sales reps.

    ``recording`` names faults of the records (see `RECORDINGS`). With ``named``, accounts have
    names, owners and a currency, which have no effect.

    ``renewal_peak`` is the share of the hazard around renewals. Rates are per year; ``base_rate``
    is the hazard of an average account.
    """

    process_effect: float = 0.65
    result_effect: float = 1.8
    ticket_effect: float = 0.4
    contract_effect: float = 0.3
    commitment_effect: float = 0.15
    handoff_effect: float = 0.4
    measuring_effect: float = 0.0
    size_effect: float = 0.1
    rep_effect: float = 0.1
    reason_effect: float = 0.25
    tenure_effect: float = 0.1
    size_confounds: bool = False
    quality_effect: float = 0.0
    quality_shows: float = 0.0
    slow_in_trouble: float = 0.0
    tickets_in_trouble: bool = True
    rate_changes: tuple[tuple[str, float], ...] = ()
    reversal_years: float | None = None
    process_segment: str | None = None
    practice_counts_for_months: bool = False
    reps_by_age: bool = False
    recording: tuple[str, ...] = ()
    usage_end: UsageEnd = "late"
    fall_share: float = 0.3
    renewal_peak: float = 0.73
    notice: bool = True
    notice_days: int | None = None
    stops_at_notice: bool = False
    notice_recorded: bool = True
    base_rate: float = 0.26
    monthly_rate: float = 0.8
    acquired_rate: float = 0.012
    adoption_rate: float = 1.8
    lapse_rate: float = 0.6
    measuring_rate: float = 0.9
    noise_rate: float = 1.0
    returning: float = 0.06
    messy: bool = False
    named: bool = False
    before_days: int = 540
    intake_days: int = 1400


_CAUSES = (
    "process_effect", "result_effect", "ticket_effect", "contract_effect", "commitment_effect",
    "handoff_effect",
)  # fmt: skip


def _world(without_causes: bool = False, **fields: Any) -> Law:
    none = dict.fromkeys(_CAUSES, 0.0) if without_causes else {}
    return Law(**none | {name: _as_tuple(value) for name, value in fields.items()})


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


WORLDS: Mapping[str, Law] = MappingProxyType(
    {name: _world(**fields) for name, fields in packaged_toml(PACKAGE, "worlds.toml").items()}
)
"""Named worlds; every field of a world can be overridden in ``simulate``."""


# Traits of accounts -------------------------------------------------------------------------------


SEGMENTS, INDUSTRIES, REGIONS, REPS, REASONS, OWNERS = (
    tuple(NAMES[name])
    for name in ("segments", "industries", "regions", "reps", "reasons", "close_owners")
)
_REASON_WEIGHTS = (0.24, 0.14, 0.27, 0.15, 0.12, 0.08)
_REASON_LOG_HAZARD = np.array([-0.5, -0.4, -0.05, -0.15, 0.6, 1.0])
_REP_WEIGHTS = (10.0, 9.0, 9.0, 8.0, 8.0, 7.0, 7.0, 6.0, 6.0, 5.0, 4.0, 3.0)
REP_LOG_HAZARD = np.array([-1.0, 0.4, 0.1, 1.4, -0.3, 0.9, -1.5, 0.2, -0.6, 1.1, -0.1, -0.8])
_TERMS = np.array([1, 12, 24])
_MEDIAN_EMPLOYEES = np.array([45.0, 260.0, 1500.0])
_MEDIAN_ARR = np.array([8_400.0, 26_000.0, 96_000.0])
LAGS: dict[str, tuple[int, int]] = {
    "none": (0, 0),
    "late": (14, 42),
    "slow": (140, 300),
    "disengagement": (110, 260),
    "quiet": (60, 180),
}
"""Days from the decision to the day on which the vendor learns of it: minimum and maximum."""


@dataclass(frozen=True)
class AccountTraits:
    """The fixed traits of accounts; arrays of shape (accounts,), days since 1970-01-01.

    ``lag`` is the time from the decision to leave until the vendor learns of it, ``notice`` the
    time from then until the end. ``start_log_hazard`` is the constant part of the log hazard.
    """

    slot: Array
    life: Array
    start: Array
    term: Array
    segment: Array
    industry: Array
    region: Array
    employees: Array
    arr: Array
    rep: Array
    reason: Array
    owner: Array
    readiness: Array
    diligence: Array
    activity: Array
    charm: Array
    lag: Array
    notice: Array
    threshold: Array
    cause: Array
    users: Array
    returns: Array
    gap: Array
    plan_target: Array
    objective: Array
    completes: Array
    initial0: Array
    initial1: Array
    fixed: Array
    renewals: Array

    def rows(self, where: Array) -> AccountTraits:
        """Return the accounts at these positions, or where the mask is true."""
        return map_arrays(lambda array: array[where], self)

    @property
    def account_id(self) -> Array:
        """Ids of the accounts; a customer who comes back gets a new one."""
        pairs = zip(self.slot.tolist(), self.life.tolist(), strict=True)
        names = [f"A-{10001 + slot}" + ("" if life < RETURN else "-2") for slot, life in pairs]
        return np.array(names, dtype=object)


RETURN = 1000
"""Life numbers from this one on belong to customers who came back."""


def add_months(day: Array, months: Array) -> Array:
    """Add calendar months to days; the 31st becomes the last day of a shorter month."""
    date = day.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    target = month + months
    first = target.astype("datetime64[D]")
    last = (target + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    landed = np.minimum(first + (date - month.astype("datetime64[D]")), last)
    return np.asarray(landed.astype(np.int64))


def draw_accounts(law: Law, seed: int, slots: Array, life: int, first_day: int) -> AccountTraits:
    """Draw the traits of accounts, with starts before and after the first day of the data."""
    lives = np.full(len(slots), life)
    u = draw_who(seed, slots, lives)
    span = law.before_days + law.intake_days
    start = first_day - law.before_days + np.floor(u["start"] * span).astype(np.int64)
    return _who(law, u, slots, lives, start)


def draw_return(law: Law, seed: int, earlier: AccountTraits, start: Array) -> AccountTraits:
    """Draw the second accounts of customers who come back: the same company with new traits."""
    lives = earlier.life + RETURN
    u = draw_who(seed, earlier.slot, lives)
    before = draw_who(seed, earlier.slot, earlier.life)
    u |= {name: before[name] for name in ("segment", "industry", "region", "employees", "owner")}
    return _who(law, u, earlier.slot, lives, start)


def _who(law: Law, u: dict[str, Array], slots: Array, lives: Array, start: Array) -> AccountTraits:
    segment = pick(u["segment"], (0.45, 0.38, 0.17))
    size = 0.75 * normal(u["employees"])
    employees = np.maximum(8, np.round(_MEDIAN_EMPLOYEES[segment] * np.exp(0.6 * size)))
    arr = _MEDIAN_ARR[segment] * np.exp(0.3 * size + 0.3 * normal(u["arr"]))
    term = _TERMS[
        np.where(u["term"] < np.array([0.18, 0.08, 0.03])[segment], 0, 1 + (u["term"] > 0.9))
    ]
    size_score = (np.log(employees) - 4.9) / 1.5
    reason = pick(u["reason"], _REASON_WEIGHTS)
    readiness = normal(u["readiness"]) * 0.8 + (1.3 * size_score if law.size_confounds else 0.0)
    diligence = normal(u["diligence"])
    months = term[:, None] * np.arange(1, 9)
    return AccountTraits(
        slot=slots,
        life=lives,
        start=start,
        term=term,
        segment=segment,
        industry=pick(u["industry"], (5, 4, 4, 4, 3, 3, 2)),
        region=pick(u["region"], (3, 2, 3, 4)),
        employees=employees,
        arr=np.round(arr / 60) * 60,
        rep=_rep(law, u, start),
        reason=reason,
        owner=(u["owner"] < 0.12).astype(np.int64),
        readiness=readiness,
        diligence=diligence,
        activity=normal(u["activity"]),
        charm=normal(u["charm"]),
        lag=_lag(law, u),
        notice=_notice(law, u["notice"], term),
        threshold=-np.log(u["threshold"]),
        cause=u["cause"],
        users=3 + np.floor(u["users"] * np.array([3, 5, 9])[segment]).astype(np.int64),
        returns=u["returning"],
        gap=u["gap"],
        plan_target=u["target"],
        objective=u["objective"],
        completes=(u["completes"] < 0.6) & (reason == len(REASONS) - 1) & (term > 1) & law.messy,
        initial0=u["initial0"],
        initial1=u["initial1"],
        fixed=-law.quality_effect * normal(u["readiness"])
        + law.reason_effect * _REASON_LOG_HAZARD[reason]
        - law.size_effect * size_score
        - law.commitment_effect * diligence
        + np.where(term == 1, np.log(law.monthly_rate), 0.0),
        renewals=add_months(start[:, None], months),
    )


def _rep(law: Law, u: dict[str, Array], start: Array) -> Array:
    """Return the sales rep; with ``reps_by_age``, a quarter of the reps sell in each year."""
    rep = np.asarray(pick(u["rep"], _REP_WEIGHTS))
    if not law.reps_by_age:
        return rep
    each = len(REPS) // 4
    return np.asarray((start // 365 % 4) * each + rep % each)


def _lag(law: Law, u: dict[str, Array]) -> Array:
    shortest, longest = LAGS[law.usage_end]
    late = law.usage_end == "late"
    share = u["lag"] ** 2 if late else u["lag"]
    lag = shortest + np.floor(share * (longest - shortest + 1)).astype(np.int64)
    if late:
        lag = np.where(u["fall"] < law.fall_share, lag, 0)
    return np.asarray(lag)


def _notice(law: Law, uniform: Array, term: Array) -> Array:
    if not law.notice:
        return np.zeros(len(term), dtype=np.int64)
    if law.notice_days is not None:
        return np.full(len(term), law.notice_days, dtype=np.int64)
    usual = np.where(term == 1, 20, np.where(term == 12, 70, 78))
    return np.asarray(np.floor(usual * (0.85 + 0.3 * uniform)).astype(np.int64))


_STEP = 1327
"""Coprime to the number of names, so that none is repeated before all have been used."""


_PURPOSE = 11


def with_names(accounts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the accounts with ``name``, ``owner`` and ``currency``, which have no effect.

    A customer that comes back keeps its name. Owners look after a region, and are drawn from a
    separate stream of each account.
    """
    draw = account_uniforms(accounts, seed, _PURPOSE)[:, 0]
    of_region = NAMES["account_owners"]
    owners = np.array([of_region[region] for region in accounts["region"]], dtype=object)
    out = accounts.copy()
    out.insert(1, "name", _company_names(accounts))
    out.insert(2, "owner", owners[np.arange(len(out)), np.floor(3 * draw).astype(np.int64)])
    out.insert(list(out.columns).index("arr") + 1, "currency", CURRENCY)
    return out


def _company_names(accounts: pd.DataFrame) -> Array:
    companies = NAMES["companies"]
    places, endings, trades = (companies[name] for name in ("places", "endings", "trades"))
    slots = accounts["customer_id"].str.removeprefix("C-").astype(int).to_numpy()
    rest, place = np.divmod(slots * _STEP, len(places))
    rest, ending = np.divmod(rest, len(endings))
    named = zip(place, ending, rest % 5, accounts["industry"], strict=True)
    names = [f"{places[p]}{endings[e]} {trades[industry][t]}" for p, e, t, industry in named]
    return np.array(names, dtype=object)
