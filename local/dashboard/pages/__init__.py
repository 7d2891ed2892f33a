"""The pages of the dashboard: one module each, what it reads and what it shows."""
