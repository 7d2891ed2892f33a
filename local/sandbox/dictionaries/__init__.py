"""hh.ru's dictionaries, areas, metro, roles and suggests."""
