"""A stand-in for the BFF: the page ``/dev/connect``, and the connection of the demo user."""
