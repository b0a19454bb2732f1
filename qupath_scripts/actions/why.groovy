// menu: 30 Why this result
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Why) = hmgdm('Talk', 'Why')

def image = getCurrentImageData()
Talk.guarded {
    def why = Why.of(image, Why.clicked(image))
    Why.words(image, why).each { println it }
    if (Talk.window()) Why.show(getCurrentViewer(), image, why)
}
