"""Frozen encoders: each maps a batch of ECGs to embeddings."""
