"""How the prediction API is called, and what its answers mean."""
