"""What the API's list tells: how predictions stand, whether a send in doubt arrived, and what nobody knows of."""
