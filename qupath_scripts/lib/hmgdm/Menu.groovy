package hmgdm

import javafx.application.Platform
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.prefs.PathPrefs

/**
 * Extensions > H-MGDM. An entry is a file in actions/ whose first line is `// menu: NUMBER NAME`; a new file is a new
 * entry, and no other file has to know. It stays over restarts through the startup script, to which one that was set
 * before is chained.
 */
class Menu {
    static final String NAME = 'H-MGDM'
    static final String STARTUP = 'hmgdm_startup.groovy'

    /** Name of each entry and its script, in order of their numbers. */
    static List<List> entries(File home) {
        (new File(home, 'actions').listFiles() ?: []).findAll { it.name.endsWith('.groovy') }.collect { file ->
            def line = file.withReader('UTF-8') { it.readLine() ?: '' }
            def found = line =~ /^\/\/ menu: (\d+) (.+?)\s*$/
            found.find() ? [found.group(1) as int, found.group(2), file] : null
        }.findAll().sort { it[0] }.collect { [it[1], it[2]] }
    }

    static void show(File home) {
        def window = QuPathGUI.getInstance()
        if (window == null) return
        entries(home).each { name, file -> window.installCommand("Extensions>${NAME}>${name}".toString()) { Talk.guarded { Entry.run(file as File) } } }
        Prefs.show(window)
        Open.watch(window)
        Warm.start(home, entries(home).collect { it[1] as File })
    }

    static void install(File home) {
        def startup = PathPrefs.startupScriptProperty()
        def current = startup.get()
        if (!isOurs(current)) before().set(current ?: '') // installed again: what was there before us stays known
        startup.set(new File(home, STARTUP).absolutePath)
        PathPrefs.savePreferences()
        show(home)
        Talk.inform("the menu Extensions > ${NAME} is there, and will be at every start")
    }

    /** At every start: what the user had set, then our menu. */
    static void start(File home) {
        def script = before().get()
        if (script && !isOurs(script) && new File(script).isFile()) {
            try {
                QuPathGUI.getInstance().runScript(new File(script), null)
            } catch (Throwable error) {
                System.err.println("${NAME}: your own startup script ${script} failed: ${error.message}")
            }
        }
        show(home)
    }

    static void uninstall() {
        def startup = PathPrefs.startupScriptProperty()
        if (isOurs(startup.get())) startup.set(before().get() ?: null) // one that was chosen since stays
        before().set('')
        PathPrefs.savePreferences()
        def window = QuPathGUI.getInstance()
        if (window == null) return
        Prefs.hide(window)
        Platform.runLater { window.getMenu('Extensions', false)?.items?.removeIf { it.text == NAME } }
        Talk.inform('the menu is gone; your images and results stay as they are')
    }

    private static before() { PathPrefs.createPersistentPreference('hmgdm.startup.before', '') }

    private static boolean isOurs(String path) { path && new File(path).name == STARTUP }
}
