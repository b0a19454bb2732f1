// QuPath runs this at every start once install_menu.groovy has been run: your own startup script, then our menu.
def home = new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile
def (Menu) = evaluate(new File(home, 'load.groovy'))('Menu')
Menu.start(home)
