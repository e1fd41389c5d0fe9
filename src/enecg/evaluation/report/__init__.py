"""Reports of an evaluation as HTML and Markdown."""
