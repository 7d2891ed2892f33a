"""``ugtj cloud``: from an empty AWS account to production and back."""
