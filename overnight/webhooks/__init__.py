"""What the API calls when a prediction ends: who may, and what becomes of it."""
