"""Ensembles as folders on disk, and the migration of older ones."""
