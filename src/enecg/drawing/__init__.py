"""ECGs on paper, as SVG."""
