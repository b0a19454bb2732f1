// menu: 10 Analyse selected regions…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse) = hmgdm('Talk', 'Analyse')

// Headless: `QuPath script analyse_regions.groovy -p P.qpproj -i NAME -s` takes all annotations of the image.
def image = getCurrentImageData()
Talk.guarded {
    if (!Talk.window()) selectAnnotations()
    Analyse.fromMenu(image, getProject(), 'predict', Analyse.selected(image))
}
