"""Experts without a network: measurements and fixed transforms of the signal."""
