"""A tenant's users: invite, list, change, remove; the caller's own account."""
