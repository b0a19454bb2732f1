"""Exchange with the QuPath viewer: whose object it is, GeoJSON both ways, colours."""
