"""Survival analysis on arrays: Cox regression, curves, and the evaluation of predictions.

Functions take arrays and return small frozen results with ``to_dict``, and most with ``to_frame``
and ``plot``. ``docs/survival.md`` describes the differences from the textbook.
"""

import lazy_loader

# Names are listed in __init__.pyi, which type checkers read too, and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
