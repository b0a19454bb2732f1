// menu: 70 Undo a run…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Choose, Scripted) = hmgdm('Talk', 'Choose', 'Scripted')

// Headless: `QuPath script undo_run.groovy -p P.qpproj -i NAME -a RUN [-a RESULT_FILE]`; without a RUN it lists them.
def image = getCurrentImageData()
if (!Talk.window()) {
    if (!args) hmgdm('Runs')[0].all(image).each { println "${it.id}  ${it.title}" }
    else hmgdm('Outcome')[0].told(args.length > 1 ? new File(args[1]) : null, getProjectEntry(), image) { [removed: Scripted.undo(image, args[0])] }
    return
}
Talk.guarded { Choose.undo(image) }
