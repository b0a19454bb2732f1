"""H-MGDM for QuPath: entity graphs of H&E tissue, learnt without labels, explained on the slide."""

__version__ = "0.1.0"
