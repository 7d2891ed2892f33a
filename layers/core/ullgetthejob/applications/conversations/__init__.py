"""Conversations: what employers write about an application, and what its person replies."""
