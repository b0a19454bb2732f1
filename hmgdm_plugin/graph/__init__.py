"""From the pixels of a tile to its entity graph: superpixels, merging, contacts, windows, descriptors."""
