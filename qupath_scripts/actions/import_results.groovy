// menu: 50 Import results…
def hmgdm = evaluate(new File(new File(getProperty(ScriptAttributes.FILE_PATH)).parentFile.parentFile, 'load.groovy'))
def (Talk, Choose, Work, Landing, Scripted, Show) = hmgdm('Talk', 'Choose', 'Work', 'Landing', 'Scripted', 'Show')

// Headless: `QuPath script import_results.groovy -p P.qpproj -i NAME -a RESULTS_FOLDER [-a RESULT_FILE]`
def image = getCurrentImageData()
if (!Talk.window()) {
    def (Outcome) = hmgdm('Outcome')
    Outcome.told(args.length > 1 ? new File(args[1]) : null, getProjectEntry(), image) { Outcome.of(Scripted.importResults(image, args[0])) }
    return
}
Talk.guarded {
    def folder = Choose.folder()
    if (folder == null) return
    Work.start("Importing ${folder.name}", { work ->
        Landing.importFolder(image, folder, { work.progress(it, 'reading results') }, work.cancelled) { count ->
            work.progress(-1d, "showing ${String.format('%,d', count)} objects")
        }
    }) { landed ->
        Landing.importStep(image, folder)
        Talk.inform("${landed.added} objects imported${landed.removed ? ', in place of ' + landed.removed : ''}")
        if (landed.bad) Talk.warn("${landed.bad.size()} objects could not be read: ${landed.bad[0]}")
        Show.first(image)
    }
}
