"""Swagger UI on docs/openapi.json, at ``/_local/docs``. Its files come with Powertools."""

from __future__ import annotations

from importlib import resources

from aws_lambda_powertools.event_handler.openapi.swagger_ui import generate_swagger_html

from local.settings import REPOSITORY

SWAGGER_UI = "aws_lambda_powertools.event_handler.openapi.swagger_ui"


def page() -> str:
    """Return the page, with script, style and the document inline."""
    files = resources.files(SWAGGER_UI)
    return generate_swagger_html(
        spec=(REPOSITORY / "docs" / "openapi.json").read_text(),
        swagger_js=(files / "swagger-ui-bundle.min.js").read_text(),
        swagger_css=(files / "swagger-ui.min.css").read_text(),
        swagger_base_url="",
        oauth2_config=None,
        persist_authorization=True,
    )
