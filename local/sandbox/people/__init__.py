"""The demo people and what may befall their accounts."""
