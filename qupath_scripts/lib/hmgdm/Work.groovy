package hmgdm

import java.util.concurrent.CancellationException
import javafx.concurrent.Task
import javafx.event.ActionEvent
import javafx.scene.control.ButtonType
import javafx.stage.Modality
import org.controlsfx.dialog.ProgressDialog

/** Long work: in the background with progress and Cancel where there is a window, else at once. */
class Work {
    private final Closure say
    final Closure<Boolean> cancelled

    private Work(Closure say, Closure<Boolean> cancelled) {
        this.say = say
        this.cancelled = cancelled
    }

    /** Nobody watches and nobody cancels. */
    static Work quiet() { new Work({ share, message -> }, { false }) }

    void progress(double share, String message) { say(share, message) }

    /** Events of the program as progress. */
    Closure events() {
        return { Map event ->
            double total = (event.total ?: 0) as double
            progress(total > 0 ? (event.done as double) / total : -1d, [event.stage, total > 0 ? "${event.done} of ${event.total}" : '', event.message].findAll().join(' · '))
        }
    }

    /** Do `work` (it gets a Work), then `done` with its value on the thread of the window. */
    static void start(String title, Closure work, Closure done) {
        def window = Talk.window()
        if (window == null) {
            done(work(quiet()))
            return
        }
        def task = new Background(work: work)
        def dialog = new ProgressDialog(task)
        dialog.title = Talk.TITLE
        dialog.headerText = title
        dialog.initOwner(window.stage)
        dialog.initModality(Modality.NONE) // the slide can still be looked at
        dialog.dialogPane.buttonTypes.add(ButtonType.CANCEL)
        dialog.dialogPane.lookupButton(ButtonType.CANCEL).addEventFilter(ActionEvent.ACTION) { if (task.running) task.cancel(false) }
        task.onSucceeded = { Talk.guarded { done(task.value) } }
        task.onFailed = { Talk.error(task.exception) }
        task.onCancelled = { Talk.error(new CancellationException()) }
        Thread.startDaemon('hmgdm-work') { task.run() }
        dialog.show()
    }

    static class Background extends Task<Object> {
        Closure work

        @Override
        protected Object call() {
            updateMessage('starting')
            work(new Work({ share, message -> tell(share, message) }, { isCancelled() }))
        }

        private void tell(double share, String message) {
            updateProgress(share, 1d)
            updateMessage(message)
        }
    }
}
