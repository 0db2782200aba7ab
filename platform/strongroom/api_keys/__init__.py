"""API keys: long-lived credentials for apps, narrowed to scopes, never stronger than the user who made them."""
