"""What an export says beside the numbers: company names, owners, the currency of the contracts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leadsignal.datasets.draws import Array, account_uniforms

_PLACES = (
    "Ash", "Brook", "Cald", "Dun", "Elm", "Fair", "Glen", "Har", "Inver", "Kes", "Lang", "Mar",
    "Nor", "Oak", "Pem", "Rad", "Stan", "Thorn", "Wal", "Whit", "Wex", "Bren", "Hol", "Lind",
)  # fmt: skip
_ENDINGS = (
    "bourne", "bridge", "bury", "by", "combe", "croft", "dale", "den", "field", "ford", "gate",
    "ham", "hurst", "ley", "mere", "moor", "ridge", "stead", "ton", "wick",
)  # fmt: skip
_TRADES = {
    "Manufacturing": ("Components", "Precision", "Castings", "Packaging", "Tools"),
    "Wholesale": ("Trading", "Foods", "Supplies", "Textiles", "Electrical"),
    "Software": ("Software", "Systems", "Data", "Labs", "Analytics"),
    "Professional services": ("Partners", "Advisers", "Consulting", "Surveyors", "Architects"),
    "Healthcare": ("Health", "Clinics", "Diagnostics", "Pharma", "Dental"),
    "Logistics": ("Logistics", "Freight", "Haulage", "Shipping", "Couriers"),
    "Construction": ("Construction", "Builders", "Civil Works", "Roofing", "Timber"),
}
_OWNERS = {
    "North": ("Ingrid Solberg", "Callum Reid", "Anna Virtanen"),
    "South": ("Chiara Romano", "Diego Fuentes", "Elena Petrou"),
    "West": ("Maeve Gallagher", "Luc Moreau", "Femke de Vries"),
    "Central": ("Katrin Albers", "Tomasz Nowak", "Julia Steiner"),
}
_STEP = 1327
"""Shares no factor with the number of names, so that none comes twice before all have come."""
_PURPOSE = 11
CURRENCY = "EUR"


def with_names(accounts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the accounts with ``name``, ``owner`` and ``currency``, which mean nothing.

    A customer that comes back has its old name. Owners look after a region; who it is comes from a
    stream of each account that nothing else draws from.
    """
    draw = account_uniforms(accounts, seed, _PURPOSE)[:, 0]
    owners = np.array([_OWNERS[region] for region in accounts["region"]], dtype=object)
    out = accounts.copy()
    out.insert(1, "name", _company_names(accounts))
    out.insert(2, "owner", owners[np.arange(len(out)), np.floor(3 * draw).astype(np.int64)])
    out.insert(list(out.columns).index("arr") + 1, "currency", CURRENCY)
    return out


def _company_names(accounts: pd.DataFrame) -> Array:
    slots = accounts["customer_id"].str.removeprefix("C-").astype(int).to_numpy()
    rest, place = np.divmod(slots * _STEP, len(_PLACES))
    rest, ending = np.divmod(rest, len(_ENDINGS))
    named = zip(place, ending, rest % 5, accounts["industry"], strict=True)
    names = [f"{_PLACES[p]}{_ENDINGS[e]} {_TRADES[industry][t]}" for p, e, t, industry in named]
    return np.array(names, dtype=object)
