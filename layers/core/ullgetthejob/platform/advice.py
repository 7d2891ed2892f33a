"""Advice texts: one sentence per error code that a user can be shown, with what to do next.

``message`` beside it in a response is for developers: it names headers and fields. A test compares
the keys with the error codes that the source raises.
"""

from __future__ import annotations

_LATER = "This does not work at the moment. Please try again in a minute."
_LOG_IN = "Please log in at hh.ru again."
_START_LOGIN = "The login at hh.ru did not work out. Please start it again."
_RELOAD = "The connection is no longer valid. Please reload the page."
_OURS = "Something is wrong on our side. Please try again later, or write to the support."

ADVICE: dict[str, str] = {
    # who is calling
    "unauthorized": "You are not logged in. Please log in again.",
    "invalid_token": "Your session has ended. Please log in again.",
    "invalid_signature": _OURS,
    "forbidden": "You may not do this. Please log in with the account that it belongs to.",
    "user_mismatch": "This belongs to another session. Please log in again.",
    # what was requested
    "bad_request": "The request could not be read. Please reload the page and try again.",
    "unsupported_encoding": "The request could not be read. Please reload the page and try again.",
    "invalid_json": "The request could not be read. Please reload the page and try again.",
    "invalid_request": "Something in your entries is not right. Please check them and try again.",
    "bad_arguments": "hh.ru does not take one of your entries. Please check them and try again.",
    "payload_too_large": "Your text is too long. Please shorten it and try again.",
    "missing_email": "Your CV has no e-mail address. Please add one.",
    "missing_phone": "Your CV has no phone number of the form +7 and ten digits. Please add one.",
    "conflict": "This was sent before with other content. Please reload the page and look.",
    "wrong_state": "This is no longer possible. Please reload the page to see how it stands.",
    "raise_too_early": "hh.ru raises a resume every four hours. Please try again later.",
    "replies_waiting": "Earlier messages have not been sent yet. Please wait until they are.",
    "conversation_unknown": (
        "hh.ru has not shown this conversation yet. Please try again in a few minutes."
    ),
    "same_search": "You have saved this search already. Please change that one instead.",
    "template_invalid": "This template does not work. Please look at its text again.",
    "template_value_missing": (
        "The template needs something that this vacancy or resume does not have. Please change it."
    ),
    "same_template": "You have another template of this name. Please choose another name.",
    "too_many_templates": "You have the maximum number of templates. Please delete one.",
    "too_many_rules": "You have the maximum number of such rules. Please remove one.",
    "too_many_searches": "You have the maximum number of saved searches. Please delete one.",
    "too_many_channels": "You have the maximum number of addresses. Please delete one.",
    "too_many_messages": "You have asked for this often today. Please try again tomorrow.",
    "channel_not_active": "This address is not active. Please confirm or add it again.",
    "no_secret": "This address has no secret. Please choose a webhook.",
    "email_off": "E-mail is not available here. Please choose another way.",
    # what does not exist
    "not_found": "There is no such page. Please go back and try again.",
    "job_not_found": "This vacancy is no longer at hh.ru. Please choose another.",
    "resume_not_found": "This resume is not in your account at hh.ru. Please choose another.",
    "template_not_found": "This template is not in your account. Please reload the page.",
    "channel_not_found": "This address is not in your account. Please reload the page.",
    "application_not_found": "This application is not in your account. Please reload the page.",
    "campaign_not_found": "This campaign is not in your account. Please reload the page.",
    "account_not_found": "hh.ru no longer knows this account. Please log in with another.",
    "user_not_found": "We do not know you yet. Please connect your account at hh.ru.",
    # what the user has to do at hh.ru
    "needs_person": "There is something that you have to do at hh.ru first. Please look there.",
    "reauth_required": _LOG_IN,
    "hh_captcha": "hh.ru wants to know that you are no robot. Please solve the captcha there.",
    "hh_limited": "hh.ru takes no more applications from you for now. We go on by ourselves later.",
    "hh_closed": "hh.ru does not let us do this. Please do it on hh.ru yourself.",
    "hh_forbidden": "hh.ru does not let us do this. Please do it on hh.ru yourself.",
    "hh_apply_refused": "hh.ru did not take the application. Please look at the vacancy there.",
    "hh_message_refused": "hh.ru did not take the message. Please write on hh.ru yourself.",
    "hh_resume_refused": "hh.ru did not take the resume. Please look at your resumes there.",
    "resume_not_raised": "hh.ru does not raise this resume. Please look at it there.",
    "filters_unreadable": "Your filters could not be read. Please save them again.",
    # logging in
    "access_denied": "You refused the access at hh.ru. Please log in again to allow it.",
    "invalid_state": _START_LOGIN,
    "state_required": _START_LOGIN,
    "session_of_another_account": (
        "You are connected with another account of hh.ru. Please disconnect it first, then log in."
    ),
    "invalid_code": _START_LOGIN,
    "login_failed": _START_LOGIN,
    "login_interrupted": "The login at hh.ru was interrupted. Please start it again.",
    "login_in_progress": "You are being logged in. Please wait a moment.",
    "code_of_another_session": _START_LOGIN,
    "not_an_applicant": "This is an employer's account. Please log in at hh.ru as an applicant.",
    "not_connected": "Your account at hh.ru is not connected. Please connect it first.",
    "disconnected": "You have disconnected hh.ru. Please connect it again to go on.",
    "account_locked": "hh.ru has locked your account. Please unlock it there and log in again.",
    "password_invalidated": "Please set a new password at hh.ru, then log in again.",
    "login_not_verified": "Please confirm your e-mail or phone at hh.ru, then log in again.",
    "invalid_refresh_token": _LOG_IN,
    "hh_refresh_refused": _LOG_IN,
    "hh_token_refused": _LOG_IN,
    "hh_token_not_expired": _LATER,
    "token_not_expired": _LATER,
    "token_refresh_in_progress": "We are renewing your access to hh.ru. Please try again shortly.",
    # what does not answer
    "unavailable": _LATER,
    "hh_unavailable": "hh.ru does not answer at the moment. Please try again in a few minutes.",
    "hh_busy": "hh.ru has too much to do at the moment. Please try again in a minute.",
    "hh_exchanges_limited": (
        "hh.ru gives out no more logins for the moment. Please try again in a few minutes."
    ),
    "too_many_requests": "Many people are searching right now. Please try again in a minute.",
    "hh_region_blocked": "hh.ru does not answer us. Please use hh.ru itself for now.",
    "hh_app_token_missing": _OURS,
    "hh_misconfigured": _OURS,
    "database_unavailable": _LATER,
    "connections_unavailable": _LATER,
    "encryption_unavailable": _LATER,
    "leases_unavailable": _LATER,
    "one_time_keys_unavailable": _LATER,
    "pacer_unavailable": _LATER,
    "rate_limit_unavailable": _LATER,
    "secrets_unavailable": _LATER,
    "bff_refused": _OURS,
    "bff_unavailable": _LATER,
    "broadcast_off": "New vacancies are not shown to all users here. Please use a saved search.",
    "telegram_off": "Telegram is not offered here. Please choose another channel.",
    "telegram_unavailable": _LATER,
    "internal_error": _OURS,
    # the WebSocket
    "bad_ticket": _RELOAD,
    "bad_cursor": _RELOAD,
    "frame_too_long": _RELOAD,
    "invalid_frame": _RELOAD,
    "not_open": _RELOAD,
    "reconnect": _RELOAD,
    "unknown_type": _RELOAD,
    "too_many_frames": "The page asks too often. Please reload it.",
    "too_many_connections": "The page is open too many times. Please close some of its tabs.",
}


def for_person(code: str) -> str:
    """Return the advice text for *code*; for an unknown code that of ``internal_error``."""
    return ADVICE.get(code, ADVICE["internal_error"])
