"""Applying, what employers do with it, and the correspondence that follows."""
