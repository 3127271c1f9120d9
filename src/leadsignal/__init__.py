"""Predict customer churn from leading behavioural indicators, before usage drops.

tables = ls.read_tables("data/sample")
analysis = ls.read_success_analysis("data/sample/success.toml")
panel = ls.build_panel(tables, analysis, every="28d")
ls.audit_indicators(panel)
backtest = ls.run_backtest(panel, horizon="180d")
model = ls.ChurnModel(horizon="180d").fit(panel)
scores = ls.score_accounts(model, tables)
ls.write_report("churn.html", panel, backtest, scores)
"""

import lazy_loader

# The names are listed in __init__.pyi (for type checkers) and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
