// menu: 60 Show / hide heat map
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Choose, Show, Look) = hmgdm('Talk', 'Choose', 'Show', 'Look')

def image = getCurrentImageData(), viewer = getCurrentViewer()
Talk.guarded {
    if (Look.isShown(viewer)) {
        Look.hide(viewer)
        return
    }
    def layer = Choose.layer(image)
    if (layer) Show.layer(viewer, image, layer)
}
