// menu: 40 Nuclei…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse, Source) = hmgdm('Talk', 'Analyse', 'Source')

// In the selected regions, or on the whole slide where none is selected.
def image = getCurrentImageData()
Talk.guarded {
    def regions = Source.required(image).hierarchy.selectionModel.selectedObjects.findAll { Source.isRegion(it) }.toList()
    Analyse.fromMenu(image, getProject(), 'nuclei', regions)
}
