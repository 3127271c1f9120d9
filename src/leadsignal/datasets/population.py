"""Traits of simulated accounts that are fixed at the start, observed and latent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadsignal.datasets.law import NAMES, Array, Law, draw_who, map_arrays, normal, pick

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
