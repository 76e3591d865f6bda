"""What the console looks at: the catalogue page by page, its features, and a map of it."""
