"""The tenant's change feed: what happened, in the order in which it became visible."""
