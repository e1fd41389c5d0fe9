"""Generated 12-lead electrocardiograms, with known truth: for the demo and for tests, never as evidence."""

from enecg.cohort.simulated.cohort import make_cohort
from enecg.cohort.simulated.record import CONDUCTIONS, Simulated, Truth, simulate
from enecg.cohort.simulated.rhythm import RHYTHMS

__all__ = ["CONDUCTIONS", "RHYTHMS", "Simulated", "Truth", "make_cohort", "simulate"]
