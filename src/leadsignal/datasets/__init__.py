"""The sample data, and a simulator of a subscription business with known truth.

Whether an account practises the essential processes depends on its readiness, and practice raises
success. Practice, success, trouble, size, the reason for buying and the proximity of a renewal
determine the daily hazard of deciding to leave. Usage and the irrelevant behaviours follow
activity, which has no effect. What a company would have recorded becomes the twelve tables; the
rest is `Truth`. `docs/simulator.md` states the law.
"""

import lazy_loader

# Names are listed in __init__.pyi, which type checkers read too, and imported when first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
