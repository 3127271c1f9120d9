"""The sample, and a simulator of a subscription business whose truth is known.

An account practises essential processes or does not, as its readiness has it; practice raises
success; practice, success, trouble, size, the reason to buy and the nearness of a renewal set a
daily hazard of deciding to leave. Usage and the behaviours that mean nothing go with activity,
which means nothing. What a company would have recorded of all this becomes the twelve tables;
the rest is `Truth`. `docs/simulator.md` states the law.
"""

import lazy_loader

# Names are listed in __init__.pyi, which type checkers read too, and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
