"""Cohorts: tables of recordings with labels, split by subject."""
