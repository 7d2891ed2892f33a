"""Logging in, consent, and every kind of token."""
