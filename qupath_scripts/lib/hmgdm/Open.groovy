package hmgdm

import javafx.beans.value.ChangeListener
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.Project

/**
 * A file in a project that is open in this window, so that `hmgdm project` does not write behind its back. On Linux, where
 * it also looks which slides a QuPath holds, another file says which project that one has open, if any.
 */
class Open {
    static final String MARKER = '.hmgdm-open.json'
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
            sign()?.delete()
        }))
    }

    private static void mark(Project project) {
        def file = marker(project)
        if (file) file.setText(Json.write([host: InetAddress.localHost.hostName, pid: ProcessHandle.current().pid()]), 'UTF-8')
    }

    private static void unmark(Project project) { marker(project)?.delete() }

    private static void say(Project project) {
        def born = new File('/proc/self/stat')
        if (!born.canRead()) return
        def fields = born.text.substring(born.text.lastIndexOf(')') + 2).split(' ') // a name in brackets may hold spaces
        sign().setText(Json.write([born: fields[19], project: project?.path?.toAbsolutePath()?.parent?.toString() ?: '']), 'UTF-8')
    }

    private static File sign() { new File("/tmp/hmgdm-qupath-${ProcessHandle.current().pid()}.json") }

    /** Null where there is no project, or none that can be written. */
    private static File marker(Project project) {
        def folder = project?.path?.toAbsolutePath()?.parent?.toFile()
        folder?.canWrite() ? new File(folder, MARKER) : null
    }
}
