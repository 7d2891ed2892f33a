"""The public feed: new vacancies, posted to the BFF for all its users."""
