"""Turns events into vectors: the write path, and the kernel that both sides share."""
