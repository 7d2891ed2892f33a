"""Event sources of functions besides HTTP: schedules on the local clock, and queues."""
