"""Runs functions as Lambda does: AWS's runtime client, a process an invocation at a time."""
