package hmgdm

import javafx.beans.value.ChangeListener
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.Project

/**
 * A file in a project that is open in this window, so that `hmgdm project` does not write behind its back. On Linux, where
 * it also looks which slides a QuPath holds, another file in the user's own cache says which project that one has open, if
 * any. Where a file cannot be written, the window works as before.
 */
class Open {
    static final String MARKER = '.hmgdm-open.json'
    static final String SIGNS = 'hmgdm/qupath' // in the cache, a file for each process; as in hmgdm_plugin/qupath/marker.py
    private static final String WATCHING = 'hmgdm.watching'

    static void watch(QuPathGUI window) {
        if (System.properties.containsKey(WATCHING)) return // once per session, however often the menu is installed
        System.properties.put(WATCHING, 'yes')
        mark(window.project)
        say(window.project)
        window.projectProperty().addListener({ value, old, now ->
            unmark(old as Project)
            mark(now as Project)
            say(now as Project)
        } as ChangeListener)
        Runtime.runtime.addShutdownHook(new Thread({
            unmark(window.project)
            sign().delete()
        }))
    }

    private static void mark(Project project) {
        def file = marker(project)
        if (file) write(file) { [host: InetAddress.localHost.hostName, pid: ProcessHandle.current().pid()] }
    }

    private static void unmark(Project project) { marker(project)?.delete() }

    private static void say(Project project) {
        def born = new File('/proc/self/stat')
        if (!born.canRead()) return
        def fields = born.text.substring(born.text.lastIndexOf(')') + 2).split(' ') // a name in brackets may hold spaces
        sign().parentFile.mkdirs()
        write(sign()) { [born: fields[19], project: project?.path?.toAbsolutePath()?.parent?.toString() ?: ''] }
    }

    private static void write(File file, Closure<Map> what) {
        try {
            file.setText(Json.write(what()), 'UTF-8')
        } catch (IOException error) {
            System.err.println("${Talk.TITLE}: ${file}: cannot be written (${error.message})")
        }
    }

    private static File sign() {
        def home = System.getenv('HOME') ?: System.getProperty('user.home')
        new File(System.getenv('XDG_CACHE_HOME') ?: new File(home, '.cache').path, "${SIGNS}/${ProcessHandle.current().pid()}.json")
    }

    /** Null where there is no project, or none that can be written. */
    private static File marker(Project project) {
        def folder = project?.path?.toAbsolutePath()?.parent?.toFile()
        folder?.canWrite() ? new File(folder, MARKER) : null
    }
}
