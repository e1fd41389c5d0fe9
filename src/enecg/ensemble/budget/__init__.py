"""Cheaper versions of an ensemble: fewer experts, and a cascade that calls the others when needed."""
