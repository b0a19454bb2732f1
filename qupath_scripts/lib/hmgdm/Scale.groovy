package hmgdm

import groovy.transform.CompileStatic
import qupath.lib.color.ColorMaps

/** The ends of a colour scale, and whether zero lies in its middle; hmgdm_plugin/schema/shades.py says why. */
@CompileStatic
class Scale {
    final double low, high
    final boolean signed

    Scale(float[] values) {
        double[] ends = shades(values)
        boolean below = false
        for (float each : values) below |= Float.isFinite(each) && each < 0
        signed = below
        double end = Math.max(-ends[0], ends[1])
        low = signed ? -end : ends[0]
        high = signed ? end : ends[1]
    }

    ColorMaps.ColorMap colours() { signed ? Diverging.MAP : ColorMaps.getColorMaps().get('Viridis') }

    /** The middle 96 % of the values, at least a tenth of the larger apart. */
    static double[] shades(float[] values) {
        float[] known = sorted(values)
        if (known.length == 0) return [0d, 1d] as double[]
        double low = between(known, 0.02d), high = between(known, 0.98d)
        double least = 0.1d * Math.max(Math.abs(low), Math.abs(high))
        if (least > 0 && high - low >= least) return [low, high] as double[]
        double middle = (low + high) / 2, half = (least > 0 ? least : 1d) / 2
        [middle - half, middle + half] as double[]
    }

    /** Those of `values` that are numbers, the smallest first. */
    private static float[] sorted(float[] values) {
        float[] out = new float[values.length]
        int n = 0
        for (float each : values) if (Float.isFinite(each)) out[n++] = each
        out = Arrays.copyOf(out, n)
        Arrays.sort(out)
        out
    }

    /** The value at a `share` of the sorted ones, between its neighbours where it falls there. */
    private static double between(float[] sorted, double share) {
        double place = share * (sorted.length - 1)
        int below = (int) place
        double from = sorted[below], to = sorted[Math.min(below + 1, sorted.length - 1)]
        from + (place - below) * (to - from)
    }
}
