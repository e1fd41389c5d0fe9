"""Data sets whose folders have a layout of their own; each file here is one layout."""
