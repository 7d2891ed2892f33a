"""Resumes: read, checked, kept, created, edited and published."""
