package hmgdm

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.function.Supplier
import javafx.beans.property.DoubleProperty
import javafx.beans.value.ChangeListener
import javafx.beans.value.ObservableValue
import javafx.scene.layout.Region
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.BufferedImageOverlay
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/**
 * How a window draws objects and pictures: ours put on, and what was there before put back. Compiled, as all that the
 * window's own thread does: at its first run Groovy would look through every class of the window that it meets.
 */
@CompileStatic
class Look {
    private final boolean fill, detections, pixels
    private final float opacity
    private final MeasurementMapper mapper

    private Look(OverlayOptions options) {
        fill = options.getFillDetections()
        detections = options.getShowDetections()
        pixels = options.getShowPixelClassification()
        opacity = options.getOpacity()
        mapper = options.getMeasurementMapper()
    }

    private void putBack(OverlayOptions options) {
        options.setFillDetections(fill)
        options.setShowDetections(detections)
        options.setShowPixelClassification(pixels)
        options.setOpacity(opacity)
        options.setMeasurementMapper(mapper)
    }

    /** An overlay of ours, told from others by its class. */
    static class Picture extends BufferedImageOverlay {
        Picture(QuPathViewer viewer, OverlayOptions options, Map<ImageRegion, BufferedImage> pictures) { super(viewer, options, pictures) }
    }

    static boolean isShown(QuPathViewer viewer) { Legend.find(viewer) != null }

    /** A picture over the slide instead of the objects. */
    static void picture(QuPathViewer viewer, Map<ImageRegion, BufferedImage> pictures, String title, Supplier<Region> key, List<String> remarks) {
        Look before = hide(viewer)
        OverlayOptions options = viewer.getOverlayOptions()
        viewer.getCustomOverlayLayers().add(new Picture(viewer, options, pictures))
        options.setShowPixelClassification(true)
        options.setShowDetections(false)
        options.setOpacity(opacity())
        shown(viewer, title, key, remarks, before)
    }

    /** The objects in the colours of a measurement. */
    static void objects(QuPathViewer viewer, MeasurementMapper mapper, String title, Supplier<Region> key, List<String> remarks) {
        Look before = hide(viewer)
        OverlayOptions options = viewer.getOverlayOptions()
        Calm.gently(viewer) {
            options.setMeasurementMapper(mapper)
            options.setShowDetections(true)
            options.setFillDetections(true)
            options.setOpacity(opacity())
        }
        shown(viewer, title, key, remarks, before)
    }

    private static float opacity() { (Prefs.opacity() as DoubleProperty).get() as float }

    /** How opaque the user wants our colours: so they are the next time, but never invisible from the start. */
    static void remember(double opacity) { (Prefs.opacity() as DoubleProperty).set(Math.max(opacity, 0.1d)) }

    private static void shown(QuPathViewer viewer, String title, Supplier<Region> key, List<String> remarks, Look before) {
        Legend.show(viewer, title, key.get(), remarks, before)
        forget(viewer)
        viewer.forceOverlayUpdate()
    }

    /** Take our layer off; returns how the window was before any of ours. */
    static Look hide(QuPathViewer viewer) {
        OverlayOptions options = viewer.getOverlayOptions()
        Look before = Legend.find(viewer)?.getUserData() as Look
        Legend.remove(viewer) // first: what is put back is not what the user chose for our colours
        if (before == null) before = new Look(options)
        else Calm.gently(viewer) { before.putBack(options) }
        viewer.getCustomOverlayLayers().removeIf { PathOverlay each -> each.getClass().getName() == Picture.getName() }
        viewer.forceOverlayUpdate()
        before
    }

    /** Another image in the viewer must not wear this one's colours. */
    private static void forget(QuPathViewer viewer) {
        viewer.imageDataProperty().addListener(new ChangeListener<ImageData<BufferedImage>>() {
            @Override
            void changed(ObservableValue<? extends ImageData<BufferedImage>> value, ImageData<BufferedImage> old, ImageData<BufferedImage> now) {
                viewer.imageDataProperty().removeListener(this)
                if (Look.isShown(viewer)) Look.hide(viewer)
            }
        })
    }
}
