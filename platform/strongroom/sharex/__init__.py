"""A ShareX custom uploader that works as it is."""
