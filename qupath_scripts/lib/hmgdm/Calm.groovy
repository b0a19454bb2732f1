package hmgdm

import groovy.transform.CompileStatic
import java.awt.Graphics2D
import java.awt.Shape
import java.awt.image.BufferedImage
import java.util.concurrent.Callable
import javafx.application.Platform
import qupath.fx.utils.FXUtils
import qupath.lib.gui.images.stores.TileListener
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.HierarchyOverlay
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/**
 * Many objects at once, in a window that goes on answering. Left alone, QuPath sorts all objects by place and waits for every
 * square of the overlay to be painted, both on the window's own thread. Here viewers keep their picture until the next is
 * painted in the background; where that takes long, they take the squares as they come.
 */
@CompileStatic
class Calm {
    static final int MANY = 2000 // objects; fewer are painted at once, without a flicker

    /** Do `work`, which changes the objects of an image, on a thread that is not the window's. */
    static Object change(ImageData imageData, Closure work) {
        List<Held> held = []
        if (waiting()) onWindow { for (QuPathViewer each : Talk.window().getAllViewers()) if (each.getImageData() == imageData) held.add(Held.of(each)) }
        try {
            return work.call()
        } finally {
            for (Held each : held) each.release()
        }
    }

    /** Let the window do what it was asked before the next change: while objects are moved it would have to wait for them. */
    static void pause() { if (waiting()) onWindow { } }

    /** Do `work` on the window's thread, which makes a viewer paint its overlay anew. */
    static void gently(QuPathViewer viewer, Closure work) {
        Held held = many(viewer) ? Held.of(viewer) : null
        work.call()
        if (held != null) Thread.startDaemon('hmgdm-held') { held.release() }
    }

    private static boolean many(QuPathViewer viewer) {
        viewer.getHierarchy() != null && viewer.getHierarchy().getRootObject().nChildObjects() > MANY
    }

    private static boolean waiting() { Talk.window() != null && !Platform.isFxApplicationThread() }

    private static void onWindow(Closure work) { FXUtils.callOnApplicationThread({ work.call() } as Callable<Object>) }

    /** A viewer that keeps its picture, for as long as anybody still changes what it shows. */
    private static class Held {
        private static final String KEY = 'hmgdm.held'
        private static final long HOLD_MS = 600_000, PATIENCE_MS = 1500

        private final QuPathViewer viewer
        private int changes // counted on the window's thread only

        private Held(QuPathViewer viewer) { this.viewer = viewer }

        static Held of(QuPathViewer viewer) {
            Map<Object, Object> known = viewer.getView().getProperties()
            Held held = known.get(KEY) as Held ?: new Held(viewer)
            known.put(KEY, held)
            held.changes++
            viewer.setMinimumRepaintSpacingMillis(HOLD_MS)
            held
        }

        /** Not on the window's thread: paint first, so that the window finds all squares that it asks for. */
        void release() {
            Shape seen = null
            onWindow { if (--changes == 0) seen = viewer.getDisplayedRegionShape() }
            if (seen == null) return
            Thread.startDaemon('hmgdm-paint') { paint(seen) }.join(PATIENCE_MS)
            onWindow {
                if (changes > 0) return
                if (many(viewer)) Squares.follow(viewer)
                viewer.resetMinimumRepaintSpacingMillis()
            }
        }

        /** What the window does when it paints, onto nothing: QuPath keeps the squares, and the lists it makes for them. */
        private void paint(Shape seen) {
            ImageData<BufferedImage> imageData = viewer.getImageData()
            if (imageData == null) return
            int width = imageData.getServer().getWidth(), height = imageData.getServer().getHeight()
            ImageRegion whole = ImageRegion.createInstance(0, 0, width, height, viewer.getZPosition(), viewer.getTPosition())
            Graphics2D nowhere = new BufferedImage(1, 1, BufferedImage.TYPE_INT_ARGB).createGraphics()
            nowhere.setClip(seen)
            for (PathOverlay each : viewer.getOverlayLayers())
                if (each instanceof HierarchyOverlay) each.paintOverlay(nowhere, whole, viewer.getDownsampleFactor(), imageData, true)
            nowhere.dispose()
        }
    }

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
