"""The model: heads, weights, gate, calibration, and the bundle that holds them."""
