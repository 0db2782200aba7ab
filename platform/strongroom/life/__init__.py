"""What is done to a tenant as a whole: renamed, suspended, resumed, deleted, restored; each step taken up again where it was cut off."""
