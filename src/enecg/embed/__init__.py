"""Embedding: read, prepare, encode, and the store that keeps the result."""
