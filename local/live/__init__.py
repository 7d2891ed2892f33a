"""What ``make run`` shows while it runs: a saved search of the demo user at work, and how much the
functions have done."""
