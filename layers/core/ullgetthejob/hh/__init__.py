"""hh.ru's API: the client, its models, errors, tokens, dictionaries and pacing."""
