"""Readers: one file for each family of formats."""
