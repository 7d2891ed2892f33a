"""hh.ru's dictionaries, areas, metro and roles."""
