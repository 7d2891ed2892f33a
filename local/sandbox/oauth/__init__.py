"""Login, consent, and all tokens."""
