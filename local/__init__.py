"""The cloud on a laptop. Never deployed; nothing in the package imports it."""
