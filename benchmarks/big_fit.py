"""Time and memory of a fit on a million panel rows, and the effect of sampling the rows.

The panel is a simulated business copied under new account ids, with 40 indicators. The fit runs in
a fresh process. Then, on a panel small enough to fit whole, the risks of models fitted on all
stacked rows are compared with those of models fitted on a sample of a quarter.

    python benchmarks/big_fit.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.model import stacked_model as hazards


def business(accounts: int, seed: int) -> ls.Panel:
    simulation = ls.simulate(accounts, seed=seed, world="leading")
    analysis = ls.SuccessAnalysis.from_toml(simulation.analysis_toml)
    return ls.build_panel(ls.read_tables(simulation.tables), analysis)


def copied(panel: ls.Panel, rows: int, indicators: int) -> ls.Panel:
    """Return the panel copied under other account ids until it has enough rows."""
    kept = panel.indicators[:indicators]
    dropped = {one.name for one in panel.indicators} - {one.name for one in kept}
    base = panel.frame.drop(columns=list(dropped - {"term_months", "days_to_renewal"}))
    parts: list[pd.DataFrame] = []
    while len(parts) * len(base) < rows:
        number = len(parts)
        parts.append(base.assign(
            account_id=base["account_id"] + f"-{number}",
            customer_id=base["customer_id"].fillna(base["account_id"]) + f"-{number}",
        ))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True).iloc[:rows]
    return replace(panel, frame=frame, indicators=kept)


def agreement(panel: ls.Panel) -> None:
    """Print how much risks change if the model is fitted on a quarter of the stacked rows."""
    rows = panel.current()
    whole = ls.ChurnModel().fit(panel).predict(rows).risk
    other = ls.ChurnModel(random_state=1).fit(panel).predict(rows).risk
    chosen, hazards.FITTED = hazards.FITTED, replace(hazards.FITTED, most=40_000)
    sample = ls.ChurnModel().fit(panel).predict(rows).risk
    hazards.FITTED = chosen
    for name, risk in (("another random state", other), ("a sample of 40,000 rows", sample)):
        apart = np.abs(np.log(risk / (1 - risk)) - np.log(whole / (1 - whole)))
        print(
            f"against the whole fit, {name}: mean risk {risk.mean() / whole.mean():.3f} times,"
            f" log-odds apart {np.median(apart):.3f}, correlation"
            f" {np.corrcoef(risk, whole)[0, 1]:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--indicators", type=int, default=40)
    options = parser.parse_args()
    small = business(2000, seed=31)
    agreement(small)
    panel = copied(small, options.rows, options.indicators)
    cpu, clock = time.process_time(), time.perf_counter()
    model = ls.ChurnModel().fit(panel)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(panel.frame):,} rows x {len(model.features_.names)} indicators: fitted in"
        f" {time.process_time() - cpu:.0f} CPU s, {time.perf_counter() - clock:.0f} s by the clock,"
        f" peak {peak:.1f} GB"
    )
    rows = panel.frame.head(200_000)
    cpu, clock = time.process_time(), time.perf_counter()
    model.predict(rows)
    took = time.perf_counter() - clock
    print(
        f"{len(rows) / took:,.0f} rows scored a second by the clock,"
        f" {len(rows) / (time.process_time() - cpu):,.0f} a CPU second"
    )


if __name__ == "__main__":
    main()
