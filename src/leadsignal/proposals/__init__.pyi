from .proposal import ProjectProposal as ProjectProposal
from .proposal import propose_project as propose_project
