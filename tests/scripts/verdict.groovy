// Imports each GeoJSON file of a folder the way QuPath does, and writes what came of it as verdict.json beside them.
import com.google.gson.GsonBuilder
import qupath.lib.io.PathIO

def folder = new File(args[0])
def out = [:]
folder.listFiles().findAll { it.name.contains('.geojson') }.sort().each { file ->
    try {
        def objects = PathIO.readObjects(file.toPath())
        out[file.name] = objects.collect { o ->
            [id: o.ID.toString(), kind: o.class.simpleName, name: o.name, pathClass: o.pathClass?.toString(), colour: o.pathClass?.color,
             roi: o.ROI.class.simpleName, area: o.ROI.isArea() ? o.ROI.getArea() : null, bounds: [o.ROI.boundsX, o.ROI.boundsY],
             locked: o.locked, measurements: o.measurements.collectEntries { k, v -> [k, v as double] }]
        }
    } catch (Throwable error) {
        out[file.name] = 'throws ' + error
    }
}
new File(folder, 'verdict.json').setText(new GsonBuilder().serializeNulls().serializeSpecialFloatingPointValues().create().toJson(out), 'UTF-8')
