"""Serves recommendations over what the indexer keeps up to date."""
