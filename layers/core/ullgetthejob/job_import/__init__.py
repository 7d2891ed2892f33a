"""Import of vacancies from links: addresses of vacancies, or of searches, as people copy them."""
