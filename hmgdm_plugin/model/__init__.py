"""The networks: entity auto-encoder, masked graph diffusion, heads, importance. Pure torch, no paths, no images."""
