// menu: 20 Analyse whole slide…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Analyse) = hmgdm('Talk', 'Analyse')

// Headless: `QuPath script analyse_slide.groovy -p P.qpproj -i NAME -s`
def image = getCurrentImageData()
Talk.guarded { Analyse.fromMenu(image, getProject(), 'predict', []) }
