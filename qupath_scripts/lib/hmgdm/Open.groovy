package hmgdm

import javafx.beans.value.ChangeListener
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.Project

/** A file in a project that is open in this window, so that `hmgdm project` does not write behind its back. */
class Open {
    static final String MARKER = '.hmgdm-open.json'
    private static final String WATCHING = 'hmgdm.watching'

    static void watch(QuPathGUI window) {
        if (System.properties.containsKey(WATCHING)) return // once per session, however often the menu is installed
        System.properties.put(WATCHING, 'yes')
        mark(window.project)
        window.projectProperty().addListener({ value, old, now ->
            unmark(old as Project)
            mark(now as Project)
        } as ChangeListener)
        Runtime.runtime.addShutdownHook(new Thread({ unmark(window.project) }))
    }

    private static void mark(Project project) {
        def file = marker(project)
        if (file) file.setText(Json.write([host: InetAddress.localHost.hostName, pid: ProcessHandle.current().pid()]), 'UTF-8')
    }

    private static void unmark(Project project) { marker(project)?.delete() }

    /** Null where there is no project, or none that can be written. */
    private static File marker(Project project) {
        def folder = project?.path?.toAbsolutePath()?.parent?.toFile()
        folder?.canWrite() ? new File(folder, MARKER) : null
    }
}
