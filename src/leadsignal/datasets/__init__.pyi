from .law import WORLDS as WORLDS
from .law import Law as Law
from .oracle import Truth as Truth
from .sample import sample_folder as sample_folder
from .sample import write_sample as write_sample
from .simulation import Simulation as Simulation
from .simulation import simulate as simulate
