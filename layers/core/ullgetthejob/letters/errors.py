"""Errors of templates: what the person who wrote one has to change."""

from __future__ import annotations

from ullgetthejob.platform.errors import Invalid


class TemplateInvalid(Invalid):
    """The template cannot be used: its syntax, a construct that templates may not have, a
    placeholder that does not exist, or its size."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"text {message}",
            code="template_invalid",
            details={"fields": [{"field": "text", "message": message}]},
        )


class ValueMissing(Invalid):
    """The template is valid, and this vacancy or resume lacks a value that it prints."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no {name} here: put it between {{% if {name} %}} and {{% endif %}}, or"
            " give it a default",
            code="template_value_missing",
            details={"value": name},
        )
