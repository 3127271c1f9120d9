from .proposal import ProjectProposal as ProjectProposal
from .proposal import propose_project as propose_project
from .table_proposal import ColumnProposal as ColumnProposal
from .table_proposal import TableProposal as TableProposal
