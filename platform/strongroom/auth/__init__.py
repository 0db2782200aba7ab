"""Who is asking: users, sessions, API keys and operators; sign-in, refresh with rotation, sign-out."""
