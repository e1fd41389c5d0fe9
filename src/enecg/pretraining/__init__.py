"""Pretraining: an expert from recordings without labels."""
