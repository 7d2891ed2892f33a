"""API Gateway, locally: HTTP requests become events in payload format 2.0, results responses."""
