"""Usage: every access as it happens, rolled up by workers to hours and days, and served as statistics."""
