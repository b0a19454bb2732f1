// menu: 20 Analyse whole slide…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse, Scripted) = hmgdm('Talk', 'Analyse', 'Scripted')

// Headless: `QuPath script analyse_slide.groovy -p P.qpproj [-i NAME] [-a OPTION=VALUE…] [-a RESULT_FILE]`
def image = getCurrentImageData()
if (!Talk.window()) {
    Scripted.headless(image, getProject(), getProjectEntry(), 'predict', { [] }, args)
    return
}
Talk.guarded { Analyse.fromMenu(image, getProject(), 'predict', []) }
