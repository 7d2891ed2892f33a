"""Rate limits on applying: the token bucket, hh.ru's 200 in 24 hours, and a person's status."""
