// What a person leaves on an image before H-MGDM comes: annotations, and a cell with a nucleus.
def plane = ImagePlane.getDefaultPlane()
def drawn = PathObjects.createAnnotationObject(ROIs.createEllipseROI(20, 30, 200, 150, plane), PathClass.fromString('Tumor'))
drawn.setName('drawn by a person')
def cell = PathObjects.createCellObject(ROIs.createEllipseROI(50, 60, 20, 20, plane), ROIs.createEllipseROI(55, 65, 9, 9, plane))
addObjects([drawn, cell])
getCurrentHierarchy().addObjectBelowParent(drawn, PathObjects.createAnnotationObject(ROIs.createRectangleROI(60, 60, 30, 30, plane)), true)
