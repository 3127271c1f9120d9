"""Score accounts on a date, in batches, to files, databases and Apache Spark."""

import lazy_loader

# The names are listed in __init__.pyi (for type checkers) and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
