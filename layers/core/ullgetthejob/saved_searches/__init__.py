"""Saved searches: when they are due, their runs at hh.ru, and the notifications that follow."""
