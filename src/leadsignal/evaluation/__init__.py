"""Evaluate indicators and models on the past: which indicators lead, which churns are caught."""

import lazy_loader

# The names are listed in __init__.pyi (for type checkers) and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
