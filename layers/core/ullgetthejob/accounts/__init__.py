"""People and their accounts at hh.ru: who they are, their tokens, what Core may do for them."""
