"""A tenant taken out as one archive, and brought into another deployment."""
