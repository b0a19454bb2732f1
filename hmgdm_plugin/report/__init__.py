"""What a person reads after a run: pictures on the tissue, the heat map file, and the report page."""
