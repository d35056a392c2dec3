"""The receiver of the API's webhooks: whose calls are accepted, and what becomes of them."""
