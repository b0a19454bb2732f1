// menu: 10 Analyse selected regions…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse, Scripted) = hmgdm('Talk', 'Analyse', 'Scripted')

// Headless: `QuPath script analyse_regions.groovy -p P.qpproj [-i NAME] [-a OPTION=VALUE…] [-a RESULT_FILE]` takes all
// annotations of the image.
def image = getCurrentImageData()
if (!Talk.window()) {
    Scripted.headless(image, getProject(), getProjectEntry(), 'predict', { selectAnnotations(); Analyse.selected(image) }, args)
    return
}
Talk.guarded { Analyse.fromMenu(image, getProject(), 'predict', Analyse.selected(image)) }
