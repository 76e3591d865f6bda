"""What browsers load: `recsvc.js`, and a page that uses it."""
