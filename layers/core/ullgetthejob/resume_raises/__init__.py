"""Raising resumes: moving them to the top of employers' searches, by hand or on a schedule."""
