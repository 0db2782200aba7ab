"""Imports: files that are fetched from a URL by a worker, through the outbound guard, and stored as any upload is."""
