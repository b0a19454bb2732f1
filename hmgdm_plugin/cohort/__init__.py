"""Many slides: which there are, who works on which, what became of each, and how workers are kept busy."""
