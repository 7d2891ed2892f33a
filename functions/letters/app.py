"""/api/letters: letter templates of a person, their preview, and the check of any letter."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.letters import commands, models
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.get("/api/letters/templates", auth=USER_OR_SERVICE)
def show_templates(person: Person, context: Context) -> models.Templates:
    """Return the templates of the person's account, and the placeholders of templates."""
    return commands.list_templates(person, context)


@api.post("/api/letters/templates", auth=USER_OR_SERVICE, answers=(201, 200))
def create_template(
    body: models.TemplateBody, person: Person, context: Context
) -> Response[models.OneTemplate]:
    """Store a template (201); the same name and text again return the existing one (200)."""
    template, is_new = commands.create_template(body, person, context)
    return Response(201 if is_new else 200, template)


@api.put("/api/letters/templates/{id}", auth=USER_OR_SERVICE)
def replace_template(
    id: str, body: models.TemplateBody, person: Person, context: Context
) -> models.OneTemplate:
    """Replace name and text of a template."""
    return commands.replace_template(id, body, person, context)


@api.delete("/api/letters/templates/{id}", auth=USER_OR_SERVICE)
def delete_template(id: str, person: Person, context: Context) -> models.TemplateDeleted:
    """Delete a template."""
    return commands.delete_template(id, person, context)


@api.post("/api/letters/preview", auth=USER_OR_SERVICE)
def preview_letter(body: models.PreviewBody, person: Person, context: Context) -> models.Previewed:
    """Return the letter that a template makes for a vacancy, and what the check finds in it."""
    return commands.preview(body, person, context)


@api.post("/api/letters/check", auth=USER_OR_SERVICE)
def check_letter(body: models.CheckBody, person: Person, context: Context) -> models.Checked:
    """Return what a letter says that neither the resume nor the vacancy say."""
    return commands.check_letter(body, person, context)


handler = api.handler
