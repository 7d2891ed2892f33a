"""The kinds of channels: a module each, with ``send(message, address, *, context) -> None``.

``send`` returns when the channel has accepted the message. Raises the errors of
:mod:`ullgetthejob.notifications.errors`.
"""
