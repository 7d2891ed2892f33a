"""``/dev/dashboard``: what the running local cloud says of itself, and buttons that steer it."""
