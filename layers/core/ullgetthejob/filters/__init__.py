"""Filters: the vacancies that a person does not want, as rules of the account.

They hold for applying, where the submitter decides (:mod:`.evaluation`), and for what saved
searches announce (:mod:`.announcements`).
"""
