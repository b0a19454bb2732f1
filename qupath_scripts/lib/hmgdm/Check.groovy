package hmgdm

import qupath.fx.dialogs.Dialogs
import qupath.lib.common.GeneralTools

/** Whether the program is there and healthy: what `hmgdm doctor` finds, and what the scripts need. */
class Check {
    static String report() {
        def command = Program.command()
        def lines = ["QuPath ${GeneralTools.getVersion()}, Groovy ${GroovySystem.version}, Java ${System.getProperty('java.version')}".toString(),
                     "scripts  ${Home.folder()}".toString(), "program  ${command[0]}, version ${Program.version(command)}".toString(), '']
        def said = Program.ask(command + ['doctor', '--json'], 300)
        def found = Json.parse(said.substring(Math.max(0, said.indexOf('{'))))
        if (!(found?.checks instanceof List)) {
            throw new Trouble("hmgdm doctor says what is no report: ${said.take(200)}", 'run it in a terminal: hmgdm doctor')
        }
        found.checks.each { check ->
            lines << "${check.fix ? (check.optional ? '-   ' : 'FAIL') : 'ok  '} ${check.name}: ${check.found}".toString()
            if (check.fix) lines << "     fix: ${check.fix}".toString()
        }
        lines << '' << (found.ok ? 'All that is needed works.' : 'Something needs mending: see FAIL above.')
        lines.join('\n')
    }

    static void show(String text) {
        println text
        if (Talk.window()) Dialogs.showTextWindow(Talk.window().stage, 'H-MGDM: installation', text, javafx.stage.Modality.NONE, false)
    }
}
