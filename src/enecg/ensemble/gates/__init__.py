"""Gates: weights of heads that depend on the recording."""
