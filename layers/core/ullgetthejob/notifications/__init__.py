"""Notifications: what happened to an account, told to its person by Telegram, e-mail or webhook."""
