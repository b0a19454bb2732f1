"""Numbers put into a sentence that a reader without statistics can act on."""

from __future__ import annotations


def unlike(share: float, usual: float) -> str:
    """What to think of a slide of which `share` is novel, where up to `usual` is common."""
    return (
        f"{100 * share:.0f} % of the tiles are unlike the training data (up to {100 * usual:.0f} % is usual): treat "
        "the answers with care, and look for another stain or tissue, poor focus, pen marks or a wrong pixel size"
    )


def faithfulness(gap: float, low: float, high: float, unit: str = "") -> str:
    """What a deletion curve says about the explanation.

    Parameters
    ----------
    gap, low, high : float
        How far below the random order the answer lies while the entities that raised it are taken away first: mean
        over the steps (area between the deletion curves; Petsiuk et al., RISE, 2018), and its 95 % interval over tiles.
    unit : str
        Of the answer.

    Returns
    -------
    str
        Whether the explanation can be relied on for this slide: only if the whole interval lies above zero.
    """
    numbers = f"{gap:.3g} {unit} lower on average [{low:.3g}, {high:.3g}]".replace("  ", " ")
    if low > 0:
        return (
            "Taking away first the entities that raised the answer made it lower than taking entities away at random: "
            f"{numbers}. The marked entities did carry the answer."
        )
    return (
        "Taking away first the entities that raised the answer did not make it clearly lower than taking entities away "
        f"at random: {numbers}. Do not rely on this explanation."
    )


def importance_unit(kind: str) -> str:
    """Unit of an entity's importance for a head of that kind."""
    return "SD of the answer" if kind == "regression" else "log-odds"


def importance_meaning(kind: str) -> str:
    """What an entity's importance is, for a head of that kind."""
    unit = "standard deviations of the answer" if kind == "regression" else "log-odds of the class against all others"
    order = " First come those that move it furthest in its own unit." if kind == "regression" else ""
    what = "by how much the answer falls when the entity is left out of the pooling of its tile"
    return f"Importance: {what}, in {unit}.{order}"
