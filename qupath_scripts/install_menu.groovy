// Run once from QuPath's script editor: adds Extensions > H-MGDM, now and at every start. Running it again is safe.
def home = new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile
def (Menu) = evaluate(new File(home, 'load.groovy'))('Menu')
Menu.install(home)
