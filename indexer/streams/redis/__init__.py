"""A log in Redis Streams, on Redis from 6.2 or Valkey."""
