"""Strongroom: multi-tenant, white-label file storage. What every tenant shares lives in this package."""

__version__ = "0.1.0"
