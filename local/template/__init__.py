"""The part of template.yaml that runs locally, as typed values."""
