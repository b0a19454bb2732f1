package hmgdm

import groovy.transform.CompileStatic
import java.awt.Graphics2D
import java.awt.image.BufferedImage
import java.nio.ByteBuffer
import java.nio.ByteOrder
import javafx.application.Platform
import org.codehaus.groovy.control.CompilationFailedException
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.gui.viewer.PathObjectPainter
import qupath.lib.objects.PathDetectionObject
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImageRegion

/**
 * What the first click would wait for, done while nobody waits. Scripts are compiled; some thousand objects are made and
 * thrown away, since Java translates what it meets often into fast code, and would do so on the cores that the window needs
 * while the first results come in; and the window of the progress is built once.
 */
@CompileStatic
class Warm {
    private static final int ROUNDS = 4, OBJECTS = 5000, POINTS = 24

    static void start(File home, List<File> scripts) {
        GroovyClassLoader loader = ours()
        Thread.startDaemon('hmgdm-warm') {
            Thread.currentThread().setPriority(Thread.MIN_PRIORITY)
            for (File file : new File(home, 'lib/hmgdm').listFiles())
                if (file.name.endsWith('.groovy')) synchronized (loader) { loader.loadClass('hmgdm.' + file.name.replace('.groovy', '')) }
            for (File file : scripts) compile(file)
            rehearse()
            Platform.runLater { Work.rehearse(QuPathGUI.getInstance()) }
        }
    }

    private static GroovyClassLoader ours() {
        ClassLoader loader = Warm.classLoader
        while (loader.parent != null && loader.class != GroovyClassLoader) loader = loader.parent
        loader as GroovyClassLoader
    }

    private static void compile(File file) {
        try {
            Entry.compiled(file)
        } catch (CompilationFailedException said) { } // said again where it is pressed
    }

    /** Objects like those of a run, onto a slide and a picture that nobody sees. */
    private static void rehearse() {
        List<PathObject> made = []
        for (int k = 0; k < ROUNDS; k++) made.addAll(block().call())
        PathObjectHierarchy nowhere = new PathObjectHierarchy()
        nowhere.addObjects(made)
        for (int k = 0; k < 100; k++)
            nowhere.getObjectsForRegion(PathDetectionObject, ImageRegion.createInstance(k, 0, 9, 9, 0, 0), null)
        Graphics2D picture = new BufferedImage(512, 512, BufferedImage.TYPE_INT_ARGB).createGraphics()
        picture.scale(0.25d, 0.25d)
        PathObjectPainter.paintSpecifiedObjects(picture, made, new OverlayOptions(), null, 4d)
        picture.dispose()
    }

    private static Block block() {
        Block out = new Block(n: OBJECTS, names: ['warm'] as String[], measurements: ['HMGDM: warm'] as String[], classes: new PathClass[0])
        out.id = bytes(16 * OBJECTS)
        out.kind = bytes(OBJECTS)
        out.cls = bytes(2 * OBJECTS)
        out.name = bytes(4 * OBJECTS)
        out.rings = new int[OBJECTS]
        out.role = bytes(OBJECTS)
        out.points = new int[OBJECTS]
        out.xy = bytes(8 * OBJECTS * POINTS)
        out.numbers = [bytes(4 * OBJECTS)] as ByteBuffer[]
        for (int i = 0; i < OBJECTS; i++) {
            out.id.putLong(16 * i, i)
            out.kind.put(i, (byte) 1)
            out.cls.putShort(2 * i, (short) Block.NO_CLASS)
            out.rings[i] = 1
            out.points[i] = POINTS
            for (int k = 0; k < POINTS; k++) {
                out.xy.putFloat(8 * (i * POINTS + k), (float) (i % 100 * 20 + 8 * Math.cos(2 * Math.PI * k / POINTS)))
                out.xy.putFloat(8 * (i * POINTS + k) + 4, (float) (i.intdiv(100) * 20 + 6 * Math.sin(2 * Math.PI * k / POINTS)))
            }
        }
        out
    }

    private static ByteBuffer bytes(int size) { ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN) }
}
