"""Experts that a user trains on recordings of their own (`enecg pretrain`), and the packaged ones."""
