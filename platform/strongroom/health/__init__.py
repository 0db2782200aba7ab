"""Probes, metrics, the pages that problem types lead to, and the API's own documentation."""
