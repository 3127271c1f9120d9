"""Folds of a panel by time and customer, for tuning and for scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import checked
from leadsignal.durations import Duration, days_in
from leadsignal.errors import OptionError
from leadsignal.evaluation.methods import cut_offs, thinned
from leadsignal.panel import Panel
from leadsignal.results import to_html

PARTS = 3
"""Number of parts into which customers are split; each is held out once at each cut-off."""


@dataclass(frozen=True, repr=False, eq=False)
class PanelFolds:
    """Folds of a panel, used as both data and ``cv`` of scikit-learn's `cross_val_score`.

    ``folds[i]`` is a pair of panels: one to fit on, with what was known of two thirds of the
    customers at a cut-off, and one to score, with the rows of the other third from then on. The
    object holds two panels per fold.
    """

    pairs: tuple[tuple[Panel, Panel], ...]
    horizon: int

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, fold: int) -> tuple[Panel, Panel]:
        return self.pairs[fold]

    @property
    def iloc(self) -> PanelFolds:
        """The folds themselves; scikit-learn then selects rows by `take`."""
        return self

    def take(self, places: Sequence[int] | NDArray[np.intp], axis: int = 0) -> Panel:
        """Return the panel at the one position given by `split`.

        Raises OptionError for several positions: other splitters mix rows of past and future, and
        of one customer.
        """
        if len(places) != 1:
            raise OptionError(
                "the folds of a panel are split by another splitter",
                "Give them as data and as splitter: cross_val_score(model, folds, cv=folds)",
            )
        pair, later = divmod(int(places[0]), 2)
        return self.pairs[pair][later]

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of folds."""
        return len(self.pairs)

    def split(self, X: object, y: object = None, groups: object = None) -> Iterator[Any]:
        """Yield the positions of the two panels of each fold.

        Raises OptionError if ``X`` is not this object.
        """
        if X is not self:
            raise OptionError(
                f"the data are a {type(X).__name__}, not the folds",
                "Give them as data and as splitter: cross_val_score(model, folds, cv=folds)",
            )
        for pair in range(len(self.pairs)):
            yield np.array([2 * pair]), np.array([2 * pair + 1])

    def __repr__(self) -> str:
        days = ", ".join(dict.fromkeys(str(known.as_of_date) for known, _ in self.pairs))
        return (
            f"{len(self.pairs)} folds of a panel, {self.horizon} days ahead: cut-offs {days}, each"
            f" with {PARTS} parts of the customers held out in turn"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self))


@checked
def panel_folds(panel: Panel, *, horizon: Duration = "180d", folds: int = 3) -> PanelFolds:
    """Return folds of a panel by time and customer, as used by `tune_model`.

    Each fold fits on what was known of two thirds of the customers at a cut-off, and scores the
    snapshots of the other third from this cut-off to the next, as far as they were followed for a
    whole horizon. Each third is held out once at each cut-off.

    Parameters
    ----------
    panel : Panel
        A complete panel.
    horizon : duration, default "180d"
        Horizon of the models.
    folds : int, default 3
        Number of cut-offs; there are three times as many folds.

    Returns
    -------
    PanelFolds
        Folds for ``cross_val_score(model, folds, cv=folds)``.

    Raises
    ------
    OptionError
        For a `sample_panel`, and for a panel that is too short.

    Examples
    --------
    >>> import leadsignal as ls
    >>> from sklearn.model_selection import cross_val_score
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> folds = ls.evaluation.panel_folds(panel, folds=1)
    >>> model = ls.ChurnModel(estimator="logistic", roles=("context",))
    >>> len(cross_val_score(model, folds, cv=folds))
    3
    """
    panel.refuse_sample("a fold")
    days = days_in(horizon)
    pairs = [
        (known, replace(panel, frame=rows, episodes=None, without_rows=None, past=None))
        for known, rows in past_folds(thinned(panel), days, folds)
    ]
    return PanelFolds(tuple(pairs), days)


def past_folds(panel: Panel, horizon: int, folds: int) -> Iterator[tuple[Panel, pd.DataFrame]]:
    """Yield what was known of most customers at a cut-off, and later rows of the others."""
    frame = panel.frame
    customer = frame["customer_id"].fillna(frame["account_id"])
    part = pd.factorize(customer, sort=True)[0] % PARTS
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
    cuts = cut_offs(panel, horizon, folds)
    if len(cuts) < folds:
        raise OptionError(
            f"the panel has {len(cuts)} cut-offs followed for {horizon} days, not {folds}",
            "Give fewer folds, a shorter horizon or a longer history",
        )
    for cut, until in zip(cuts, [*cuts[1:], last.date()], strict=True):
        within = frame["snapshot_on"].between(pd.Timestamp(cut), pd.Timestamp(until))
        within &= (frame["snapshot_on"] <= last) & ~frame["notice_given"]
        for fold in range(PARTS):
            known = replace(panel, frame=frame[part != fold].reset_index(drop=True)).as_of(cut)
            yield known, frame[within & (part == fold)]
