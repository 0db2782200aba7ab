"""Passwords, derived keys, purpose-bound tokens, API key secrets, and encryption of stored credentials."""
