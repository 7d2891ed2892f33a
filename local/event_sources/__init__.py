"""What invokes functions besides HTTP: schedules that follow the local clock, and queues."""
