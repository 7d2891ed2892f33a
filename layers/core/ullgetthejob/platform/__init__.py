"""Generic infrastructure: settings, errors, HTTP, Postgres, AWS, secrets, time, telemetry."""
