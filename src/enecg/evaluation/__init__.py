"""Evaluation with intervals: scores, baselines, cross-validation, leakage, reports."""
