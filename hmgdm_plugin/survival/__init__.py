"""Time to an event from the tiles of slides: likelihood, network, and what a risk is judged by."""
