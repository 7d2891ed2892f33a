"""People and their hh.ru accounts: sessions, tokens, logins, and what hh.ru lets Core do."""
