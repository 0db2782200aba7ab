"""Databases: engines per cell, tenant-bound transactions, ids, and the translation of SQLSTATE into domain errors."""
