"""A stand-in for the BFF: the page ``/dev/connect``, and a demo user who is connected already."""
