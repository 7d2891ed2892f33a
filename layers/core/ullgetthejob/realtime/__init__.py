"""What accounts are told: the log of their events."""
