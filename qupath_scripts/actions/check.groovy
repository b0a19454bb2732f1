// menu: 90 Check installation
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Work, Check) = hmgdm('Talk', 'Work', 'Check')

Talk.guarded { Work.start('Checking the installation', { Check.report() }) { text -> Check.show(text) } }
