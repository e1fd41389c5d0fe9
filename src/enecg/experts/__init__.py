"""Frozen experts, one file for each family."""
