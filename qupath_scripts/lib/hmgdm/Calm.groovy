package hmgdm

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.concurrent.Callable
import javafx.application.Platform
import qupath.fx.utils.FXUtils
import qupath.lib.gui.images.stores.TileListener
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.objects.PathDetectionObject
import qupath.lib.regions.ImageRegion

/**
 * Many objects at once, in a window that goes on answering. Left alone, QuPath sorts all objects by place and waits for every
 * square of the overlay to be painted, both on the window's own thread. Here viewers keep their picture until the objects
 * are sorted in the background, and then take the squares as other threads paint them.
 */
@CompileStatic
class Calm {
    static final int MANY = 2000 // objects; fewer are painted at once, without a flicker
    private static final long HOLD_MS = 600_000
    private static final int SQUARES = 8 // along each side of the image: asked before the window asks

    /** Do `work`, which changes the objects of an image, on a thread that is not the window's. */
    static Object change(ImageData imageData, Closure work) {
        List<QuPathViewer> viewers = []
        if (waiting()) for (QuPathViewer each : Talk.window().getAllViewers()) if (each.getImageData() == imageData) viewers.add(each)
        if (viewers.isEmpty()) return work.call()
        onWindow { for (QuPathViewer each : viewers) each.setMinimumRepaintSpacingMillis(HOLD_MS) }
        try {
            Object done = work.call()
            sorted(imageData)
            return done
        } finally {
            onWindow { for (QuPathViewer each : viewers) gently(each) { each.resetMinimumRepaintSpacingMillis() } }
        }
    }

    /**
     * What the window asks before it paints, of every square that is seen: whether it holds an object. The first question
     * sorts all of them by place, and the code that answers is slow until it has been asked a few times.
     */
    private static void sorted(ImageData imageData) {
        int width = side(imageData.getServer().getWidth()), height = side(imageData.getServer().getHeight())
        for (int k = 0; k < SQUARES * SQUARES; k++) {
            ImageRegion square = ImageRegion.createInstance((k % SQUARES) * width, k.intdiv(SQUARES) * height, width, height, 0, 0)
            imageData.getHierarchy().hasObjectsForRegion(PathDetectionObject, square)
        }
    }

    private static int side(int whole) { Math.max(1, whole.intdiv(SQUARES).intValue()) }

    /** Let the window do what it was asked before the next change: while objects are moved it would have to wait for them. */
    static void pause() { if (waiting()) onWindow { } }

    /** Do `work` on the window's thread, which makes a viewer paint its overlay anew. */
    static void gently(QuPathViewer viewer, Closure work) {
        if (viewer.getHierarchy() != null && viewer.getHierarchy().getRootObject().nChildObjects() > MANY) Squares.follow(viewer)
        work.call()
    }

    private static boolean waiting() { Talk.window() != null && !Platform.isFxApplicationThread() }

    private static void onWindow(Closure work) { FXUtils.callOnApplicationThread({ work.call() } as Callable<Object>) }

    /** Squares of the overlay, shown as they come; once all are there, the viewer is as it was. */
    private static class Squares implements TileListener<BufferedImage> {
        private static final String KEY = 'hmgdm.squares'
        private static final long REPAINT_MS = 250, STILL_NS = 1_500_000_000L, NONE_NS = 10_000_000_000L

        private final QuPathViewer viewer
        private volatile long asked, came, shown

        private Squares(QuPathViewer viewer) { this.viewer = viewer }

        static void follow(QuPathViewer viewer) {
            Map<Object, Object> known = viewer.getView().getProperties()
            Squares running = known.get(KEY) as Squares
            Squares followed = running ?: new Squares(viewer)
            followed.asked = System.nanoTime()
            viewer.setDoFasterRepaint(true) // takes what is painted, and waits for nothing
            if (running != null) return
            known.put(KEY, followed)
            viewer.getImageRegionStore().addTileListener(followed)
            followed.start(known)
        }

        private void show(Map<Object, Object> known) {
            while (coming()) {
                Thread.sleep(REPAINT_MS)
                if (came <= shown) continue
                shown = System.nanoTime()
                viewer.repaint()
            }
            Platform.runLater { coming() ? start(known) : stop(known) } // asked again, maybe, while this waited
        }

        private void start(Map<Object, Object> known) { Thread.startDaemon('hmgdm-squares') { show(known) } }

        private void stop(Map<Object, Object> known) {
            viewer.getImageRegionStore().removeTileListener(this)
            known.remove(KEY)
            viewer.setDoFasterRepaint(false)
        }

        /** The first square may take its time; after it they come one upon the other. */
        private boolean coming() {
            long now = System.nanoTime()
            came > asked ? now - came < STILL_NS : now - asked < NONE_NS
        }

        @Override
        void tileAvailable(String path, ImageRegion region, BufferedImage tile) { came = System.nanoTime() }

        @Override
        boolean requiresTileRegion(String path, ImageRegion region) { false }
    }
}
