from .events import ChurnEvents as ChurnEvents
from .events import Rescues as Rescues
from .events import churn_events as churn_events
from .events import find_rescues as find_rescues
from .retention import Retention as Retention
from .retention import retention_table as retention_table
