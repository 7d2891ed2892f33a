"""The texts of the handoff page, in Russian and English."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["ru", "en"]

LANGUAGES: tuple[Language, ...] = ("ru", "en")
DEFAULT: Language = "ru"

TEXTS: dict[Language, dict[str, str]] = {
    "ru": {
        "title": "Ваши отклики",
        "other_language": "English",
        "link.text": "По этой ссылке — вакансии, на которые осталось откликнуться вам самим, "
        "с готовыми письмами. Ссылка открывается один раз.",
        "link.open": "Открыть",
        "ended.title": "Ссылка больше не действует",
        "ended.text": "Ссылка действует один час и открывается один раз. "
        "Откройте самую новую ссылку из ваших сообщений.",
        "ended.new_link": "Прислать новую ссылку",
        "ended.where": "Новая ссылка придёт туда, куда вам приходят уведомления.",
        "requested.title": "Новая ссылка запрошена",
        "requested.text": "Она придёт туда, куда вам приходят уведомления. "
        "Эту страницу можно закрыть.",
        "refused.title": "Не получилось",
        "refused.text": "Браузер не прислал то, что мы ему дали: возможно, он не принимает cookie. "
        "Откройте страницу ещё раз.",
        "refused.again": "Открыть ещё раз",
        "failed.title": "Сейчас не получается",
        "failed.text": "Ничего не потеряно. Попробуйте ещё раз через минуту.",
        "failed.again": "Попробовать ещё раз",
        "left": "Осталось: {count}",
        "nothing.title": "Всё сделано",
        "nothing.text": "Откликов, которые ждут вас, сейчас нет.",
        "steps": "Скопируйте письмо, откройте вакансию на hh.ru, откликнитесь "
        "и нажмите «Готово» здесь.",
        "closing": "Отклики, которые мы видим на hh.ru, закрываются здесь сами.",
        "refresh": "Обновить",
        "review": "Ждут вашего согласия: {count}. Ответьте на них в сообщениях или в приложении.",
        "access.captcha": "hh.ru просит подтвердить, что вы не робот. "
        "Пройдите проверку, и мы продолжим сами.",
        "access.captcha.link": "Пройти проверку на hh.ru",
        "access.captcha.done": "Проверка пройдена",
        "access.log_in": "hh.ru больше не пускает нас в ваш аккаунт. Войдите ещё раз.",
        "access.log_in.link": "Войти ещё раз",
        "employer": "Работодатель",
        "salary": "Зарплата",
        "city": "Город",
        "resume": "Резюме",
        "no_title": "Вакансия {id}",
        "archived": "Вакансия уже в архиве.",
        "salary.from": "от {lower}",
        "salary.to": "до {upper}",
        "salary.range": "{lower}–{upper}",
        "salary.gross": "до вычета налогов",
        "salary.net": "на руки",
        "salary.MONTH": "",
        "salary.SHIFT": "за смену",
        "salary.HOUR": "за час",
        "salary.FLY_IN_FLY_OUT": "за вахту",
        "salary.SERVICE": "за услугу",
        "letter": "Письмо",
        "letter.copy": "Скопировать письмо",
        "letter.copied": "Письмо скопировано",
        "letter.none": "Письма нет.",
        "open": "Открыть на hh.ru",
        "open.elsewhere": "Открыть сайт работодателя",
        "done": "Готово",
        "skip": "Пропустить",
        "pages": "Страницы",
        "page": "Страница {page} из {pages}",
        "page.next": "Дальше",
        "page.previous": "Назад",
        "notice.done": "Отмечено: вы откликнулись.",
        "notice.skipped": "Пропущено.",
        "notice.captcha": "Спасибо, продолжаем.",
        "notice.changed": "Этот отклик уже изменился: вот как всё сейчас.",
        "reason.yourself": "hh.ru хочет, чтобы вы откликнулись сами.",
        "reason.closed": "hh.ru не разрешает нам откликаться за вас. "
        "Откликнитесь сами: письмо готово.",
        "reason.test": "Работодатель просит пройти тест, а это можете только вы.",
        "reason.external_site": "Работодатель принимает отклики на своём сайте.",
        "reason.letter_required": "Работодатель ждёт письмо, а его нет. Напишите его на hh.ru.",
        "reason.letter_too_long": "Письмо слишком длинное для hh.ru. Сократите его.",
        "reason.letter_refused": "hh.ru не принял это письмо. Измените его.",
        "reason.log_in": "Сначала войдите на hh.ru ещё раз: ссылка вверху страницы.",
        "reason.captcha": "Сначала пройдите проверку hh.ru: ссылка вверху страницы.",
        "reason.unreliable": "hh.ru несколько раз не ответил нам. Откликнитесь сами.",
        "reason.unclear": "hh.ru ответил неясно. Сначала посмотрите в откликах на hh.ru, "
        "не отправлен ли этот.",
        "reason.resume": "На hh.ru нет резюме, которое можно отправить. "
        "Проверьте резюме и откликнитесь.",
        "reason.resume_limit": "У вас столько резюме, сколько разрешает hh.ru. "
        "Удалите одно или откликнитесь с другим.",
        "reason.resume_incomplete": "hh.ru хочет, чтобы вы дополнили резюме.",
        "reason.repost": "Похоже, на эту работу вы уже откликались: вакансию разместили заново. "
        "Решите, откликаться ли ещё раз.",
        "reason.filters": "По вашим фильтрам нельзя решить, подходит ли вакансия. Решите сами.",
        "reason.visibility": "hh.ru просит вашего согласия, чтобы резюме видели в другой стране.",
    },
    "en": {
        "title": "Your applications",
        "other_language": "Русский",
        "link.text": "Behind this link are the vacancies that are left for you to apply to, "
        "with their letters ready. It opens once.",
        "link.open": "Open",
        "ended.title": "This link has ended",
        "ended.text": "A link is valid for an hour and opens once. "
        "Please open the newest link in your messages.",
        "ended.new_link": "Send me a new link",
        "ended.where": "It comes to where you get your notifications.",
        "requested.title": "A new link was asked for",
        "requested.text": "It comes to where you get your notifications. You can close this page.",
        "refused.title": "That did not work",
        "refused.text": "Your browser did not send back what we gave it: it may refuse cookies. "
        "Please open the page again.",
        "refused.again": "Open again",
        "failed.title": "This does not work at the moment",
        "failed.text": "Nothing is lost. Please try again in a minute.",
        "failed.again": "Try again",
        "left": "Left: {count}",
        "nothing.title": "All done",
        "nothing.text": "No application is waiting for you now.",
        "steps": "Copy the letter, open the vacancy at hh.ru, apply there, and press “Done” here.",
        "closing": "Applications that we see at hh.ru close here by themselves.",
        "refresh": "Refresh",
        "review": "Waiting for your yes: {count}. Please answer in your messages or in the app.",
        "access.captcha": "hh.ru wants to know that you are no robot. "
        "Please solve its captcha; we then continue by ourselves.",
        "access.captcha.link": "Solve the captcha at hh.ru",
        "access.captcha.done": "I solved it",
        "access.log_in": "hh.ru no longer lets us into your account. Please log in again.",
        "access.log_in.link": "Log in again",
        "employer": "Employer",
        "salary": "Salary",
        "city": "City",
        "resume": "Resume",
        "no_title": "Vacancy {id}",
        "archived": "The vacancy is archived by now.",
        "salary.from": "from {lower}",
        "salary.to": "up to {upper}",
        "salary.range": "{lower}–{upper}",
        "salary.gross": "before tax",
        "salary.net": "after tax",
        "salary.MONTH": "",
        "salary.SHIFT": "per shift",
        "salary.HOUR": "per hour",
        "salary.FLY_IN_FLY_OUT": "per rotation",
        "salary.SERVICE": "per service",
        "letter": "Letter",
        "letter.copy": "Copy the letter",
        "letter.copied": "The letter was copied",
        "letter.none": "There is no letter.",
        "open": "Open at hh.ru",
        "open.elsewhere": "Open the employer's site",
        "done": "Done",
        "skip": "Skip",
        "pages": "Pages",
        "page": "Page {page} of {pages}",
        "page.next": "Next",
        "page.previous": "Previous",
        "notice.done": "Noted: you have applied.",
        "notice.skipped": "Skipped.",
        "notice.captcha": "Thank you, we continue.",
        "notice.changed": "This application has changed already: this is how it stands.",
        "reason.yourself": "hh.ru wants you to apply yourself.",
        "reason.closed": "hh.ru does not let us apply for you. "
        "Please apply yourself: the letter is ready.",
        "reason.test": "The employer wants a test, which only you can do.",
        "reason.external_site": "The employer takes applications on a site of its own.",
        "reason.letter_required": "The employer wants a letter, and there is none. "
        "Please write it at hh.ru.",
        "reason.letter_too_long": "The letter is too long for hh.ru. Please shorten it.",
        "reason.letter_refused": "hh.ru did not take this letter. Please change it.",
        "reason.log_in": "Please log in at hh.ru again first: the link is at the top.",
        "reason.captcha": "Please solve hh.ru's captcha first: the link is at the top.",
        "reason.unreliable": "hh.ru did not answer us several times. Please apply yourself.",
        "reason.unclear": "hh.ru's answer was unclear. Please look first whether "
        "this application is among yours at hh.ru.",
        "reason.resume": "hh.ru has no resume that can be sent. "
        "Please check your resumes, and apply.",
        "reason.resume_limit": "You have as many resumes as hh.ru allows. "
        "Please delete one, or apply with another.",
        "reason.resume_incomplete": "hh.ru wants you to complete the resume.",
        "reason.repost": "You seem to have applied to this job before: it was posted again. "
        "Please decide whether to apply once more.",
        "reason.filters": "Your filters cannot tell whether you want this vacancy. "
        "Please decide yourself.",
        "reason.visibility": "hh.ru wants your consent to be seen in another country.",
    },
}
# What is said of an application that waits for its person, by its reason: Core's own words, and
# hh.ru's (hh/error_rules.py). Of any other reason: "yourself".
REASONS = {
    "hh_closed": "closed",
    "hh_forbidden": "closed",
    "test_required": "test",
    "external_site": "external_site",
    "letter_required": "letter_required",
    "empty_message": "letter_required",
    "message_cannot_be_empty": "letter_required",
    "too_long_message": "letter_too_long",
    "inappropriate_language": "letter_refused",
    "inappropriate_language_message": "letter_refused",
    "resource_policy_violation": "letter_refused",
    "resource_policy_violation_message": "letter_refused",
    "reauth_required": "log_in",
    "captcha": "captcha",
    "hh_unreliable": "unreliable",
    "unclear_answer": "unclear",
    "resume_not_available": "resume",
    "missing_resume_id": "resume",
    "resume_visibility_conflict": "resume",
    "resume_limit": "resume_limit",
    "resume_incomplete": "resume_incomplete",
    "repost": "repost",
    "filters_unreadable": "filters",
    "visibility_consent": "visibility",
}
# A language with its weight; its region (ru-RU) does not matter here.
ACCEPTED = re.compile(r"\s*([a-z]{1,8})(?:-[a-z0-9-]{1,30})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


def choose_language(chosen: str | None, accept_language: str) -> Language:
    """Return the language that the person has *chosen*, else the one of the page's that
    Accept-Language (RFC 9110, §12.5.4) prefers; without either, Russian."""
    for language in LANGUAGES:
        if chosen == language:
            return language
    best: Language = DEFAULT
    best_weight = 0.0
    for part in accept_language.lower()[:1000].split(","):
        found = ACCEPTED.fullmatch(part)
        weight = float(found[2] or 1) if found else 0.0
        for language in LANGUAGES:
            if found and found[1] == language and weight > best_weight:
                best, best_weight = language, weight
    return best


def reason_key(reason: str | None) -> str:
    """Return the key of the text about an application that waits for *reason*."""
    return f"reason.{REASONS.get(reason or '', 'yourself')}"
