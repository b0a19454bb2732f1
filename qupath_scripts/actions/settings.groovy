// menu: 80 Settings…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Choose) = hmgdm('Talk', 'Choose')

Talk.guarded { Choose.settings() }
