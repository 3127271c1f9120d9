"""Pages for people: self-contained HTML with inline SVG, without external requests."""

import lazy_loader

# Names are listed in __init__.pyi, which type checkers read too, and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
