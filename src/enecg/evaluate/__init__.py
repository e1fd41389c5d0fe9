"""Evaluation with intervals: metrics over cohorts, baselines, cross-validation, reports."""
