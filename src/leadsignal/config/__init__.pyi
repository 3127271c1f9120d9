from .credentials import Source as Source
from .project import Project as Project
from .project import read_project as read_project
from .success import SuccessAnalysis as SuccessAnalysis
from .success import read_success_analysis as read_success_analysis
