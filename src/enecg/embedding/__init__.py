"""Embedding: read, prepare, encode, and store the result."""
