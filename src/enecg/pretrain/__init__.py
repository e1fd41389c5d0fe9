"""Pretraining: an expert from recordings without labels. Above `embed`, whose way of reading it shares."""
