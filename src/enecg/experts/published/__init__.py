"""Published models: one file for each family, loaded from the authors' weights."""
