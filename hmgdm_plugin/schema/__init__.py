"""What every part agrees on: errors, settings, coordinates, the entity graph, the run folder."""
