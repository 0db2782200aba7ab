"""Checks: a worker reads a version's bytes once; virus scan, type and structure, SHA-256; the verdict becomes its status."""
