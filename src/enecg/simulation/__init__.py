"""Generated 12-lead electrocardiograms, with known truth: for the demo and for tests, never as evidence."""

from enecg.simulation.cohort import make_cohort
from enecg.simulation.record import CONDUCTIONS, Simulated, Truth, simulate
from enecg.simulation.rhythm import RHYTHMS

__all__ = ["CONDUCTIONS", "RHYTHMS", "Simulated", "Truth", "make_cohort", "simulate"]
