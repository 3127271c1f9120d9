"""The folders are the same every time, have the headers of their system, and plausible truths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from exports import (
    amplitude,
    chargebee,
    gainsight,
    hubspot,
    intercom,
    mixpanel,
    posthog,
    recurly,
    salesforce,
    segment,
    stripe,
    zendesk,
)
from exports.business import Contract, Happening, Truth, moment, stays, truth_of

Writer = Callable[[Path, int], Truth]

WRITERS: dict[str, Writer] = {
    "amplitude": amplitude.write,
    "chargebee": chargebee.write,
    "gainsight": gainsight.write,
    "hubspot": hubspot.write,
    "intercom": intercom.write,
    "mixpanel": mixpanel.write,
    "posthog": posthog.write,
    "recurly": recurly.write,
    "salesforce": salesforce.write,
    "segment": segment.write,
    "stripe": stripe.write,
    "stripe_api": stripe.write_api,
    "zendesk": zendesk.write,
    "zendesk_api": zendesk.write_api,
}
BILLING = ("chargebee", "recurly", "stripe", "stripe_api")

every = pytest.mark.parametrize("system", WRITERS)


def contents(folder: Path) -> dict[str, str]:
    """Return what the text files are; a workbook holds the moment at which it was written."""
    files = (file for file in folder.iterdir() if file.suffix != ".xlsx")
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}


@every
def test_a_folder_is_the_same_every_time(system: str, tmp_path: Path) -> None:
    first, again = (WRITERS[system](tmp_path / name, 3) for name in ("a", "b"))
    other = WRITERS[system](tmp_path / "c", 4)
    assert first == again
    assert first != other
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() == contents(tmp_path / "c").keys()


@every
def test_truths_are_plausible(system: str, tmp_path: Path) -> None:
    truth = WRITERS[system](tmp_path, 0)
    assert truth.accounts == truth.churned + truth.active
    assert truth.accounts >= truth.customers >= 100
    assert 0.2 < truth.churned / truth.accounts < 0.8
    assert truth.first_start < truth.last_start < truth.as_of
    assert truth.first_start < truth.last_end <= truth.as_of
    assert 0 < truth.lasted_a_year < truth.could_last_a_year < truth.accounts
    assert 588 * truth.active <= truth.arr_active <= 2 * 7680 * truth.active
    assert (truth.accounts > truth.customers) == (system in BILLING)
    for inside, outside in (
        (truth.tickets, truth.tickets_outside),
        (truth.events, truth.events_outside),
    ):
        assert inside is None or 0 < outside < inside / 10


@every
def test_files_are_small_enough_to_read_at_once(system: str, tmp_path: Path) -> None:
    WRITERS[system](tmp_path, 0)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_200_000
    for file in tmp_path.glob("*.csv"):
        assert 50 < len(file.read_text(encoding="utf-8").splitlines()) < 2000


# Counted by hand ----------------------------------------------------------------------------------


def contract(customer: int, start: str, end: str | None, notice: str | None = None) -> Contract:
    days = [date.fromisoformat(text) if text else None for text in (start, end, notice)]
    begun = days[0]
    assert begun is not None
    return Contract(f"{customer}{start}", customer, "Starter", begun, begun, days[1], days[2])


def test_contracts_within_thirty_days_are_one_account() -> None:
    given = [
        contract(1, "2023-01-01", "2024-01-01"),
        contract(1, "2024-01-31", None),  # 30 days later: the same account
        contract(2, "2023-01-01", "2024-01-01"),
        contract(2, "2024-02-01", "2024-06-01"),  # 31 days later: another
        contract(3, "2023-01-01", None),
        contract(3, "2023-03-01", "2023-04-01"),  # beside one that runs
    ]
    assert [len(stay) for stay in stays(given)] == [2, 1, 1, 2]
    truth = truth_of(given)
    assert (truth.customers, truth.accounts, truth.churned, truth.active) == (3, 4, 2, 2)
    assert truth.arr_active == 2 * 12 * 49
    assert truth.last_end == date(2024, 6, 1)
    # Customer 2 stayed exactly 365 days, then 121; all four began a year ago.
    assert (truth.could_last_a_year, truth.lasted_a_year) == (4, 3)


def test_who_has_cancelled_and_still_pays_is_notified() -> None:
    given = [
        contract(1, "2023-01-01", "2025-11-01", "2025-09-01"),
        contract(2, "2023-01-01", None),
        contract(3, "2023-01-01", "2024-01-01", "2023-12-01"),
    ]
    truth = truth_of(given)
    assert (truth.active, truth.notified, truth.churned) == (2, 1, 1)


def test_events_before_the_start_and_after_the_end_are_outside() -> None:
    given = [contract(1, "2023-01-01", "2024-01-01")]
    days = ("2022-12-31", "2023-01-01", "2024-01-01", "2024-01-02")
    happened = [
        Happening(n, 1, moment(Random(n), date.fromisoformat(day)), "x", f"u{n}")
        for n, day in enumerate(days)
    ]
    truth = truth_of(given, events=happened)
    assert (truth.events, truth.events_outside, truth.users) == (2, 2, 2)
    assert (truth.first_event, truth.last_event) == (date(2023, 1, 1), date(2024, 1, 1))


def test_ids_of_salesforce_carry_the_sum_of_their_capitals() -> None:
    """The only capital is the fifth of the last five letters: 2**4 = 16, which is written Q."""
    assert salesforce.sf_id("001", 10)[:15] == "0015g000000000A"
    assert salesforce.sf_id("001", 10)[15:] == "AAQ"
    assert len({salesforce.sf_id("001", n)[:15].lower() for n in range(300)}) < 300
    assert len({salesforce.sf_id("001", n).lower() for n in range(300)}) == 300
