"""What the paper reports: accuracy and macro-F1, in %, mean and deviation over five folds of tiles.

Zhuang et al., "Dynamic Entity-Masked Graph Diffusion Model for Histopathology Image Representation Learning",
AAAI 2025 (arXiv 2412.10482), its table of classification and ablation. G, M, D: uses graph, mask, diffusion.
"""

from __future__ import annotations

SOURCE = "Zhuang et al., AAAI 2025, arXiv 2412.10482, table of classification and ablation"
SETS = ("Komura ACC", "Komura F1", "PANDA ACC", "PANDA F1", "IBD ACC", "IBD F1")
Numbers = tuple[str, str, str, str, str, str]
TABLE: dict[str, tuple[str, Numbers]] = {
    "SimCLR": ("- - -", ("69.24±2.12", "62.45±1.72", "61.10±2.19", "58.48±1.25", "71.44±1.54", "69.47±2.43")),
    "KimiaNet": ("- - -", ("72.66±1.69", "65.93±1.75", "67.68±1.88", "55.40±1.19", "76.42±0.98", "70.75±1.37")),
    "DINO": ("- M -", ("78.05±1.36", "70.64±2.01", "69.92±1.28", "64.11±1.31", "82.45±0.82", "75.23±1.41")),
    "MAE": ("- M -", ("77.37±1.51", "69.44±0.89", "70.51±1.78", "62.73±0.89", "81.06±0.88", "76.44±1.02")),
    "GraphMAE": ("G M -", ("76.69±2.10", "67.60±1.87", "72.22±2.19", "60.34±2.55", "75.85±1.25", "72.78±0.81")),
    "GraphMAE2": ("G M -", ("78.86±3.05", "65.97±1.05", "72.56±1.80", "63.49±2.64", "78.12±1.42", "72.32±0.79")),
    "DiffAE": ("- - D", ("79.11±1.92", "68.18±1.74", "71.54±2.12", "61.62±1.11", "81.24±1.48", "74.51±2.08")),
    "DiffMAE": ("- M D", ("78.14±2.10", "70.23±2.14", "71.92±1.22", "65.82±1.82", "84.58±1.72", "74.74±2.15")),
    "H-MGDM": ("G M D", ("82.06±1.17", "72.41±1.36", "74.51±1.13", "67.32±1.40", "86.23±2.31", "78.92±1.79")),
    "w/o edge latents": ("", ("80.91±1.92", "70.85±1.58", "72.39±1.29", "65.89±1.82", "84.11±1.72", "77.41±1.54")),
    "w/o skip connection": ("", ("79.29±1.27", "68.43±1.45", "70.98±1.75", "62.11±2.16", "82.35±2.32", "74.61±2.14")),
    "noise intensity fixed": ("", ("79.70±1.14", "67.14±1.24", "72.52±1.65", "63.73±2.31", "83.58±1.69", "77.24±2.53")),
}


def lines(ours: dict[str, str]) -> list[str]:
    """The table as Markdown; `ours` maps its rows to ours that stand for them."""
    out = [f"| method | G M D | {' | '.join(SETS)} | here |", f"|---|---|{'---|' * len(SETS)}---|"]
    for name, (uses, numbers) in TABLE.items():
        out.append(f"| {name} | {uses} | {' | '.join(numbers)} | {ours.get(name, '-')} |")
    return out
