"""Applications to vacancies, what employers do with them, and the messages that follow."""
