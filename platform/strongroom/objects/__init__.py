"""Files by bucket and path: the doors that take and give bytes."""
