"""Slides: pixels at any scale from any reader, tissue, tiles."""
