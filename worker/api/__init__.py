"""How the prediction API is spoken to, and what its answers mean."""
