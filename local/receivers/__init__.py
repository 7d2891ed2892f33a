"""Local receivers of notifications: Telegram's Bot API, an SMTP server, and a webhook's receiver.

Real servers that validate, refuse and fail like those of the cloud. Nothing leaves this machine.
"""
