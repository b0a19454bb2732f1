"""Nuclei as star-convex polygons: StarDist's network in torch, with stardist's own geometry."""
