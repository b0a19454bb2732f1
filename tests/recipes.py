"""The smallest recipe of a pre-training that several tests start from."""

SMALL = """
[[sources]]
name = "made up"
licence = "CC0-1.0"
path = "images"
pattern = "*.png"
mpp = 0.5
patient_pattern = "^(p.)"
[graph]
tile_px = 128
segments = 16
stored_px = 16
window_px = 24
[autoencoder]
channels = 8
latent_channels = 2
[diffusion]
hidden = 16
layers = 1
heads = 2
"""  # ends inside [diffusion]; top-level keys go before it
