"""Reviews: what is ready to be sent and waits for its person's yes."""
