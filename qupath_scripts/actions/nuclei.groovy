// menu: 40 Nuclei…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse, Scripted, Source) = hmgdm('Talk', 'Analyse', 'Scripted', 'Source')

// In the selected regions, or on the whole slide where none is selected.
// Headless: `QuPath script nuclei.groovy -p P.qpproj [-i NAME] [-a OPTION=VALUE…] [-a RESULT_FILE]`, in all annotations.
def image = getCurrentImageData()
if (!Talk.window()) {
    Scripted.headless(image, getProject(), getProjectEntry(), 'nuclei', { image.hierarchy.annotationObjects }, args)
    return
}
Talk.guarded {
    def regions = Source.required(image).hierarchy.selectionModel.selectedObjects.findAll { Source.isRegion(it) }.toList()
    Analyse.fromMenu(image, getProject(), 'nuclei', regions)
}
