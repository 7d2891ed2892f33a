"""The headers with the secrets of tests."""

from __future__ import annotations

SECRET = ("X-Core-Secret", "local-development-secret")
ADMIN = ("X-Admin-Secret", "an administrator's secret")
