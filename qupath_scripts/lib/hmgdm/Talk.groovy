package hmgdm

import groovy.transform.CompileStatic
import java.util.concurrent.CancellationException
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI

/** Says things once: in a window where there is one, else on the console. */
@CompileStatic
class Talk {
    static final String TITLE = 'H-MGDM'

    static QuPathGUI window() { QuPathGUI.getInstance() }

    static void inform(String text) {
        println "${TITLE}: ${text}"
        if (window() != null) Platform.runLater { Dialogs.showInfoNotification(TITLE, broken(text)) }
    }

    static void warn(String text) {
        println "${TITLE}: ${text}"
        if (window() != null) Platform.runLater { Dialogs.showWarningNotification(TITLE, broken(text)) }
    }

    /** In lines of at most 70 letters: a notification is as wide as its longest line, and the screen may not be. */
    private static String broken(String text) {
        StringBuilder out = new StringBuilder()
        int line = 0
        for (String word : text.split(' ')) {
            boolean fits = line + word.length() < 70
            if (out.length() > 0) out.append(fits ? ' ' : '\n')
            out.append(word)
            line = (fits ? line + 1 : 0) + word.length()
        }
        out.toString()
    }

    static void error(Throwable error) {
        if (error instanceof CancellationException) {
            inform('cancelled; nothing was changed')
            return
        }
        Trouble trouble = error instanceof Trouble ? (Trouble) error : new Trouble("unforeseen ${error.class.simpleName}: ${error.message}", 'report it with the log (View > Show log)')
        System.err.println("${TITLE}: ${trouble.message}")
        if (!(error instanceof Trouble)) error.printStackTrace()
        if (window() != null) Dialogs.showErrorMessage(TITLE, trouble.fix ? "${trouble.problem}\n\nWhat to do: ${trouble.fix}".toString() : trouble.problem)
    }

    /** Do what a menu entry stands for; headless an error ends the script, in a window it is shown, once. */
    static Object guarded(Closure work) {
        try {
            return work()
        } catch (Throwable error) {
            if (window() == null) throw error
            Talk.error(error)
            return null
        }
    }

    /** A number from the user, to whom none is suggested; null where there is nobody to ask or the answer is empty. */
    static Double number(String question) {
        String said = window() == null ? null : Dialogs.showInputDialog(TITLE, question, '')
        if (said == null || said.trim().isEmpty()) return null
        try {
            return Double.valueOf(said.trim().replace(',', '.'))
        } catch (NumberFormatException error) {
            throw new Trouble("${said}: not a number", 'type it like 0.5')
        }
    }

    static boolean confirm(String text) { window() == null || Dialogs.showConfirmDialog(TITLE, text) }
}
