"""The embedded log: one SQLite file, one process."""
