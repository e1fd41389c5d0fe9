"""Fitting an ensemble from embeddings and labels. Nothing that predicts imports this package."""
