"""Uploads: begin, stream, complete. Every door into the platform leads through this service."""
