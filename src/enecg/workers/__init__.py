"""Processes and threads that do the work of the other packages."""
