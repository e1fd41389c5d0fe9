"""Signal processing behind the analytic experts: beats, waves, columns of features."""
