"""All that knows hh.ru's wire."""
