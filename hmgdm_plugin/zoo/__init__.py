"""Models on disk: a card that says what they are, weights that are checked before they are read."""
