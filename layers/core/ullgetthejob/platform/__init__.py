"""What the house stands on: settings, errors, HTTP, Postgres, DynamoDB, secrets, time, telemetry."""
