"""Power and false-positive rate of planned experiments, from 1,000 simulations each.

python benchmarks/experiments.py [--times 1000]
"""

from __future__ import annotations

import argparse
from tempfile import TemporaryDirectory

import leadsignal as ls
from leadsignal.experiments import plan_experiment, simulated_power


def main() -> None:
    """Plan experiments of several sizes on a simulated business, and simulate each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    with TemporaryDirectory() as folder:
        ls.simulate(800, seed=1, days=1095).write(folder)
        tables = ls.read_tables(folder)
        model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables))
        scores = ls.score_accounts(model, tables, effects={})
    print("reduction months share accounts   power  false")
    for reduction, months, share in ((0.3, 12, 0.5), (0.5, 12, 0.5), (0.5, 6, 0.5), (0.4, 18, 0.3)):
        plan = plan_experiment(scores, tables, reduction=reduction, months=months, share=share)
        power = simulated_power(plan, times=times, seed=1)
        false = simulated_power(plan, reduction=0, times=times, seed=2)
        print(
            f"{reduction:9.0%} {months:6} {share:5.0%} {plan.accounts:8,} {power:7.1%} {false:6.1%}"
        )


if __name__ == "__main__":
    main()
