"""The console: what a browser loads at `/`, as it is served, without a build."""
