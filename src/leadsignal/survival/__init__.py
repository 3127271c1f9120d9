"""Survival analysis on arrays: Cox regression, curves, and the judging of predictions.

Arrays in, small frozen results out; every result has ``to_dict`` and most ``to_frame`` and
``plot``. What differs from the textbook stands in ``docs/survival.md``.
"""

import lazy_loader

# Names are listed in __init__.pyi, which type checkers read too, and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
