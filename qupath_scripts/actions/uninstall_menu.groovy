// menu: 99 Remove this menu
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Menu) = hmgdm('Talk', 'Menu')

Talk.guarded { if (Talk.confirm('Remove the menu Extensions > H-MGDM? Images and results stay as they are.')) Menu.uninstall() }
