package hmgdm

import ij.io.Opener
import java.awt.image.BufferedImage
import qupath.lib.objects.PathObject
import qupath.lib.regions.ImageRegion

/** The grid of values that a run leaves as float TIFF, as pictures that lie on the slide. */
class Layers {
    final Map facts
    final List<float[]> pages
    final int width, height

    Layers(File file) {
        def image = file.isFile() ? new Opener().openTiff(file.parent + File.separator, file.name) : null
        if (image == null) throw new Trouble("${file}: no heat map", 'run the analysis again')
        facts = Json.parse(image.originalFileInfo.description ?: '') ?: [quantities: []]
        width = image.width
        height = image.height
        pages = (1..image.getStackSize()).collect { image.getStack().getProcessor(it).convertToFloat().pixels as float[] }
    }

    List<String> names() { facts.quantities as List<String> }

    /** The values of a quantity, not a number where its tile has no colour. */
    float[] page(String name) {
        def at = names().indexOf(name)
        if (at < 0) return null
        if (!leavesOut(name)) return pages[at]
        def out = pages[at].clone()
        for (int k = 0; k < out.length; k++) if (sparse(k)) out[k] = Float.NaN
        out
    }

    /** Whether tiles with too little tissue are left out of the picture of a quantity. */
    boolean leavesOut(String name) { least > 0 && !Ours.OF_EVERY_TILE.contains('HMGDM: ' + name) }

    private double getLeast() { (facts.least_tissue ?: 0d) as double }

    private boolean sparse(int k) { least > 0 && pages[names().indexOf('tissue share')][k] < least }

    /** Where the grid lies, in the pixels of the image that QuPath shows. */
    ImageRegion place() {
        def origin = (facts.qupath_origin_px ?: facts.origin_px)*.toDouble()
        double cell = facts.cell_px as double
        int x = Math.round(origin[0]), y = Math.round(origin[1])
        ImageRegion.createInstance(x, y, Math.round(origin[0] + cell * width) - x as int, Math.round(origin[1] + cell * height) - y as int, 0, 0)
    }

    BufferedImage heat(String name, Scale scale) {
        def values = page(name)
        painted { int k -> Float.isNaN(values[k]) ? null : scale.colours().getColor(values[k] as double, scale.low, scale.high) }
    }

    /** Each tile in the colour of its class. */
    BufferedImage groups(Collection<PathObject> squares) {
        def origin = (facts.qupath_origin_px ?: facts.origin_px)*.toDouble()
        double cell = facts.cell_px as double
        def colours = [:]
        squares.each { tile ->
            int x = Math.floor((tile.ROI.centroidX - origin[0]) / cell), y = Math.floor((tile.ROI.centroidY - origin[1]) / cell)
            if (x >= 0 && y >= 0 && x < width && y < height) colours[y * width + x] = tile.pathClass.color & 0xffffff
        }
        painted { int k -> sparse(k) ? null : colours[k] }
    }

    /** The first three components of the embeddings as red, green and blue. */
    BufferedImage components() {
        def three = (1..3).collect { page("component ${it}") }
        if (three.any { it == null }) throw new Trouble('this run has no colours of embeddings', 'run the analysis again')
        def ranges = three.collect { Scale.shades(it) }
        painted { int k ->
            if (Float.isNaN(three[0][k])) return null
            def rgb = (0..2).collect { c -> Math.max(0, Math.min(255, Math.round(255 * (three[c][k] - ranges[c][0]) / (ranges[c][1] - ranges[c][0])) as int)) }
            (rgb[0] << 16) | (rgb[1] << 8) | rgb[2]
        }
    }

    private BufferedImage painted(Closure<Integer> colour) {
        def image = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB)
        for (int k = 0; k < width * height; k++) {
            def rgb = colour(k)
            if (rgb != null) image.setRGB(k % width, k.intdiv(width), 0xff000000.intValue() | rgb)
        }
        image
    }
}
