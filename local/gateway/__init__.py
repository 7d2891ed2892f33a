"""API Gateway, locally: HTTP in, payload format 2.0 to a function, its answer out."""
