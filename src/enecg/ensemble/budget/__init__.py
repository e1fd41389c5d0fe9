"""Answers for less cost: versions with fewer experts, and a cascade that asks the others when needed."""
