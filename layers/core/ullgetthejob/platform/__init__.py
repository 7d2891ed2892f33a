"""What the house stands on: settings, errors, HTTP, Postgres, AWS, secrets, time, telemetry."""
