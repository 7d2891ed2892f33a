"""A person's data as a whole: where it lies, its export, and its deletion."""
