"""The page on which a person does themselves what is theirs to do at hh.ru, and links to it."""
