"""How good the recommendations are, beside well-known recommenders on the same data."""
