package hmgdm

import java.util.concurrent.CancellationException
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI

/** Says things once: in a window where there is one, else on the console. */
class Talk {
    static final String TITLE = 'H-MGDM'

    static QuPathGUI window() { QuPathGUI.getInstance() }

    static void inform(String text) {
        println "${TITLE}: ${text}"
        if (window()) Dialogs.showInfoNotification(TITLE, broken(text))
    }

    static void warn(String text) {
        println "${TITLE}: ${text}"
        if (window()) Dialogs.showWarningNotification(TITLE, broken(text))
    }

    /** In lines of at most 70 letters: a notification is as wide as its longest line, and the screen may not be. */
    private static String broken(String text) {
        text.split(' ').inject('') { done, word ->
            int line = done.length() - done.lastIndexOf('\n') + word.length()
            done.isEmpty() ? word : done + (line > 70 ? '\n' : ' ') + word
        }
    }

    static void error(Throwable error) {
        if (error instanceof CancellationException) {
            inform('cancelled; nothing was changed')
            return
        }
        def trouble = error instanceof Trouble ? error : new Trouble("unforeseen ${error.class.simpleName}: ${error.message}", 'report it with the log (View > Show log)')
        System.err.println("${TITLE}: ${trouble.message}")
        if (!(error instanceof Trouble)) error.printStackTrace()
        if (window()) Dialogs.showErrorMessage(TITLE, trouble.fix ? "${trouble.problem}\n\nWhat to do: ${trouble.fix}".toString() : trouble.problem)
    }

    /** Do what a menu entry stands for; headless an error ends the script, in a window it is shown, once. */
    static Object guarded(Closure work) {
        try {
            return work()
        } catch (Throwable error) {
            if (!window()) throw error
            Talk.error(error)
            return null
        }
    }

    /** A number from the user; null where there is nobody to ask or the answer is empty. */
    static Double number(String question, double suggested) {
        window() ? Dialogs.showInputDialog(TITLE, question, suggested as Double) : null
    }

    static boolean confirm(String text) { !window() || Dialogs.showConfirmDialog(TITLE, text) }
}
