from .monitor import Finding as Finding
from .monitor import Monitoring as Monitoring
from .monitor import monitor_scores as monitor_scores
