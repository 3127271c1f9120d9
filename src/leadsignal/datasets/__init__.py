"""The sample, and a simulator of a subscription business whose truth is known.

An account practises essential processes or does not, as its readiness has it; practice raises
success; practice, success, trouble, size, the reason to buy and the nearness of a renewal set a
daily hazard of deciding to leave. Usage and the behaviours that mean nothing go with activity,
which means nothing. What a company would have recorded of all this becomes the twelve tables;
the rest is `Truth`. `docs/simulator.md` states the law.
"""

from leadsignal.datasets.law import WORLDS, Law
from leadsignal.datasets.oracle import Truth
from leadsignal.datasets.sample import sample_folder, write_sample
from leadsignal.datasets.simulation import Simulation, simulate

__all__ = ["WORLDS", "Law", "Simulation", "Truth", "sample_folder", "simulate", "write_sample"]
