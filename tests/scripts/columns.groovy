// Reads the same objects as columns and as GeoJSON with the scripts' own readers and compares them, one by one.
def hmgdm = evaluate(new File(args[0], 'load.groovy'))
def (Columns, GeoJson) = hmgdm('Columns', 'GeoJson')
def bad = []
def fromColumns = Columns.read(new File(args[1]), null, null)
def fromGeoJson = GeoJson.read(new File(args[2]), bad, null)
assert bad == [] && fromColumns.size() == fromGeoJson.size()
[fromColumns, fromGeoJson].transpose().each { a, b ->
    assert a.ID == b.ID && a.class == b.class && a.name == b.name && a.pathClass == b.pathClass && a.locked == b.locked
    assert a.measurementList.measurementNames == b.measurementList.measurementNames
    a.measurementList.measurementNames.each { assert a.measurementList.get(it) == b.measurementList.get(it) }
    assert a.ROI.roiName == b.ROI.roiName : "${a.ROI} ${b.ROI}"
    assert a.ROI.geometry.norm().equalsExact(b.ROI.geometry.norm(), 0.01d) : "${a.ROI.geometry} ${b.ROI.geometry}"
}
new File(args[3]).text = "${fromColumns.size()} alike"
