package hmgdm

import groovy.transform.CompileStatic
import java.util.concurrent.CancellationException
import javafx.concurrent.Task
import javafx.concurrent.WorkerStateEvent
import javafx.event.ActionEvent
import javafx.scene.control.ButtonType
import javafx.stage.Modality
import org.controlsfx.dialog.ProgressDialog
import qupath.lib.gui.QuPathGUI

/** Long work: in the background with progress and Cancel where there is a window, else at once. */
@CompileStatic
class Work {
    private final Closure say
    final Closure<Boolean> cancelled

    Work(Closure say, Closure<Boolean> cancelled) {
        this.say = say
        this.cancelled = cancelled
    }

    /** Nobody watches and nobody cancels. */
    static Work quiet() { new Work({ share, message -> }, { false }) }

    void progress(double share, String message) { say.call(share, message) }

    /** Events of the program as progress. */
    Closure events() {
        return { Map event ->
            double total = (event.total ?: 0) as double
            def words = [event.stage, total > 0 ? "${event.done} of ${event.total}" : '', event.message]
            progress(total > 0 ? (event.done as double) / total : -1d, words.findAll().join(' · '))
        }
    }

    /** Do `work` (it gets a Work), then `done` with its value on the thread of the window. */
    static void start(String title, Closure work, Closure done) {
        QuPathGUI window = Talk.window()
        if (window == null) {
            done.call(work.call(quiet()))
            return
        }
        Background task = new Background(work: work)
        ProgressDialog dialog = shown(window, title, task)
        task.setOnSucceeded { WorkerStateEvent event -> Talk.guarded { done.call(task.getValue()) } }
        task.setOnFailed { WorkerStateEvent event -> Talk.error(task.getException()) }
        task.setOnCancelled { WorkerStateEvent event -> Talk.error(new CancellationException()) }
        Thread.startDaemon('hmgdm-work') { task.run() }
        dialog.show()
    }

    /** On the window's thread: build what shows the progress once, and do not show it. */
    static void rehearse(QuPathGUI window) {
        ProgressDialog dialog = shown(window, Talk.TITLE, new Background(work: { null }))
        dialog.getDialogPane().applyCss()
    }

    private static ProgressDialog shown(QuPathGUI window, String title, Task task) {
        ProgressDialog dialog = new ProgressDialog(task)
        dialog.setTitle(Talk.TITLE)
        dialog.setHeaderText(title)
        dialog.initOwner(window.getStage())
        dialog.initModality(Modality.NONE) // the slide can still be looked at
        dialog.getDialogPane().getButtonTypes().add(ButtonType.CANCEL)
        dialog.getDialogPane().lookupButton(ButtonType.CANCEL).addEventFilter(ActionEvent.ACTION) { ActionEvent pressed ->
            if (task.isRunning()) task.cancel(false)
        }
        dialog
    }

    static class Background extends Task<Object> {
        Closure work

        @Override
        protected Object call() {
            updateMessage('starting')
            Object done = work.call(new Work({ double share, String message -> tell(share, message) }, { isCancelled() }))
            Calm.pause() // first the picture of what was done, then all else: each is short enough not to be noticed
            done
        }

        void tell(double share, String message) {
            updateProgress(share, 1d)
            updateMessage(message)
        }
    }
}
