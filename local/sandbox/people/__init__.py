"""The demo people, ``/me``, and the control routes about their accounts."""
