from .analysis import ExperimentResult as ExperimentResult
from .analysis import analyse_experiment as analyse_experiment
from .plan import ExperimentPlan as ExperimentPlan
from .plan import draw_arms as draw_arms
from .plan import plan_experiment as plan_experiment
from .plan import simulated_power as simulated_power
