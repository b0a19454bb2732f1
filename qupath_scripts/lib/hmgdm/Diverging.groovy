package hmgdm

import qupath.lib.color.ColorMaps

/** Blue below zero, green above, pale at zero: what lowered an answer and what raised it, as in the report. */
class Diverging {
    static final int STEPS = 128
    static final List<int[]> ENDS = [[33, 102, 172] as int[], [247, 247, 247] as int[], [27, 120, 55] as int[]]
    static final ColorMaps.ColorMap MAP = ColorMaps.createColorMap('H-MGDM diverging', channel(0), channel(1), channel(2))

    private static int[] channel(int c) {
        (0..2 * STEPS).collect { k ->
            double at = k / (double) STEPS
            int from = Math.min(at as int, 1)
            Math.round(ENDS[from][c] + (at - from) * (ENDS[from + 1][c] - ENDS[from][c])) as int
        } as int[]
    }
}
