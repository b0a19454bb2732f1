package hmgdm

import java.security.MessageDigest
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.TransformingImageServer
import qupath.lib.objects.PathDetectionObject
import qupath.lib.objects.PathObject
import qupath.lib.regions.ImageRegion

/** The file behind the image that is open, or the reason why it cannot be analysed. */
class Source {
    static final int EDGE = 1 << 16

    /** Path of the slide; it must be one whole file, seen as it is. */
    static File file(ImageServer server) {
        def found = local(server)
        if (found == null)
            throw new Trouble("${name(server)}: not a file on this computer", 'open the slide from a file')
        if (!found.isFile()) throw new Trouble("${found}: no such file", "correct the image's path in the project")
        if (altered(server))
            throw new Trouble("${found.name}: is shown cropped, rotated or with other colours", 'open the slide itself')
        int series = series(server)
        if (series > 0)
            throw new Trouble("${found.name}: series ${series} of several", 'open the first series; only that one can be analysed')
        if (server.nZSlices() > 1 || server.nTimepoints() > 1)
            throw new Trouble("${found.name}: has several planes", 'open a slide with a single plane')
        found
    }

    /** The file, whether or not it can be analysed; null for what lies on a server. */
    static File local(ImageServer server) {
        def uris = server.getURIs()
        if (uris.size() != 1 || uris[0].scheme != 'file') return null
        new File(new URI('file', uris[0].authority, uris[0].path, null, null))
    }

    static String name(ImageServer server) { server.getMetadata().getName() ?: 'image' }

    private static boolean altered(ImageServer server) {
        server instanceof TransformingImageServer || server.class.simpleName in ['SparseImageServer', 'ConcatChannelsImageServer']
    }

    private static int series(ImageServer server) {
        def path = server.getPath() ?: ''
        def found = path =~ /--series,?\s*(\d+)/
        found.find() ? found.group(1) as int : 0
    }

    /** Microns per pixel, 0 where the image has none. */
    static double mpp(ImageServer server) {
        def size = server.getPixelCalibration()
        size.hasPixelSizeMicrons() ? size.getAveragedPixelSizeMicrons() as double : 0d
    }

    /** SHA-256 of the size, the first and the last 64 KiB of a file, as the program computes it. */
    static String fingerprint(File file) {
        def digest = MessageDigest.getInstance('SHA-256')
        new RandomAccessFile(file, 'r').withCloseable { RandomAccessFile raw ->
            digest.update(String.valueOf(raw.length()).getBytes('US-ASCII'))
            for (long start : [0L, Math.max(0L, raw.length() - EDGE)]) {
                raw.seek(start)
                byte[] block = new byte[(int) Math.min(EDGE, raw.length() - start)]
                raw.readFully(block)
                digest.update(block)
            }
        }
        digest.digest().encodeHex().toString()
    }

    /** Detections whose bounds meet a region; from 0.6 under a name of its own. */
    static Collection<PathObject> detections(hierarchy, ImageRegion region) {
        hierarchy.metaClass.respondsTo(hierarchy, 'getAllDetectionsForRegion') ? hierarchy.getAllDetectionsForRegion(region)
            : hierarchy.getObjectsForRegion(PathDetectionObject, region, null)
    }

    /** An object that outlines an area of the only plane. */
    static boolean isRegion(object) {
        object != null && object.isAnnotation() && object.hasROI() && object.ROI.isArea()
    }

    static ImageData required(ImageData imageData) {
        if (imageData == null) throw new Trouble('no image is open', 'open a slide first')
        imageData
    }
}
