from .law import WORLDS as WORLDS
from .law import Law as Law
from .simulation import Simulation as Simulation
from .simulation import Truth as Truth
from .simulation import sample_folder as sample_folder
from .simulation import simulate as simulate
from .simulation import write_sample as write_sample
