from .foresight import TotalsWarning as TotalsWarning
from .lifetime_model import LifetimeForecast as LifetimeForecast
from .lifetime_model import LifetimeModel as LifetimeModel
from .totals import CustomerTotals as CustomerTotals
from .totals import read_totals as read_totals
