"""The ensemble: heads on frozen embeddings, their weights, gates, calibration, bundles."""
