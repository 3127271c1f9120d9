from .experiment import ExperimentPlan as ExperimentPlan
from .experiment import ExperimentResult as ExperimentResult
from .experiment import analyse_experiment as analyse_experiment
from .experiment import draw_arms as draw_arms
from .experiment import plan_experiment as plan_experiment
from .experiment import simulated_power as simulated_power
