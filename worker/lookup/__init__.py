"""What the API's list shows: how predictions stand, which sends in doubt arrived, and what no attempt records."""
