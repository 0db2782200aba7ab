"""Measurements of a running Strongroom. Each starts a deployment of its own and cleans up; see README.md."""
