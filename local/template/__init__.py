"""What template.yaml says, as far as it runs locally."""
