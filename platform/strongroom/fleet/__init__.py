"""Running a fleet: every tenant's schema brought to the newest revision, in parallel and one by one on request."""
