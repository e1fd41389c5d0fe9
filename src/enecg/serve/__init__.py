"""`enecg serve`: a page and an HTTP API for one bundle, on one machine, offline."""
