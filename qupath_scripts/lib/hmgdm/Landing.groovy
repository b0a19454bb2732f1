package hmgdm

import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep

/** Objects onto an image and off again. The same run twice is there once; nothing that is not ours is touched. */
class Landing {
    /** Load and put the results of `folder`; returns [run, removed, added, bad, imported]. */
    static Map importFolder(ImageData imageData, File folder, progress = null, cancelled = null, beforeShown = null) {
        Source.required(imageData)
        def results = new Results(folder)
        def slide = results.slideOf(imageData.server)
        List<String> bad = []
        def objects = results.objects(slide, bad, progress, cancelled)
        int foreign = objects.size() - Tag.ours(objects).size()
        if (foreign) throw new Trouble("${folder}: ${foreign} objects have no id of H-MGDM", 'import them with File > Import objects')
        beforeShown?.call(objects.size())
        put(imageData, Runs.made(results, slide, objects), objects) + [bad: bad, slide: slide]
    }

    /** In one step: remove what `run` replaces, add `objects`, and note the run. */
    static Map put(ImageData imageData, Map run, List<PathObject> objects) {
        def hierarchy = imageData.hierarchy
        def old = new Runs.Place(run).replaced(Tag.on(hierarchy), objects)
        Calm.change(imageData) {
            hierarchy.removeObjects(old, true) // keeps what a person drew below them
            Calm.pause()
            try {
                hierarchy.addObjects(objects)
            } catch (Throwable error) {
                hierarchy.removeObjects(objects, true)
                hierarchy.addObjects(old)
                throw error
            }
        }
        def runs = Runs.all(imageData).findAll { it.id != run.id }
        def there = Tag.on(hierarchy)
        runs = runs.findAll { each -> Runs.owned(each, there, after(runs, each) + [run]) }
        Runs.keep(imageData, runs + [run])
        imageData.setProperty(LAST, run.folder)
        [run: run, removed: old.size(), added: objects.size()]
    }

    static final String LAST = 'hmgdm.folder'

    private static List<Map> after(List<Map> runs, Map run) { runs.drop(runs.indexOf(run) + 1) }

    /** Remove exactly the objects of one run; returns how many there were. */
    static int undo(ImageData imageData, String id) {
        def runs = Runs.all(imageData)
        def run = runs.find { it.id == id }
        if (run == null) throw new Trouble("no run ${id} on this image", 'choose one of: ' + (runs*.id.join(', ') ?: 'none'))
        def mine = Runs.owned(run, Tag.on(imageData.hierarchy), after(runs, run))
        Calm.change(imageData) { imageData.hierarchy.removeObjects(mine, true) }
        Runs.keep(imageData, runs - [run])
        mine.size()
    }

    /** Remove all that is ours of one recipe, or of every recipe for null. */
    static int undoRecipe(ImageData imageData, Integer tag) {
        def mine = Tag.on(imageData.hierarchy).findAll { tag == null || Tag.of(it.ID) == tag }
        Calm.change(imageData) { imageData.hierarchy.removeObjects(mine, true) }
        Runs.keep(imageData, Runs.all(imageData).findAll { tag != null && !(it.recipes as List).any { n -> (n as int) == tag } })
        mine.size()
    }

    static void importStep(ImageData imageData, File folder) {
        step(imageData, 'H-MGDM: import results', [folder: folder.path], "importResults(getCurrentImageData(), ${Home.quoted(folder.path)})")
    }

    static void undoStep(ImageData imageData, String run) {
        step(imageData, 'H-MGDM: undo a run', [run: run], "undo(getCurrentImageData(), ${Home.quoted(run)})")
    }

    /** Note in the Workflow tab what was done, as a script that does it again. */
    static void step(ImageData imageData, String title, Map parameters, String call) {
        def script = "def (Scripted) = evaluate(new File(${Home.quoted(new File(Home.folder(), 'load.groovy').path)}))('Scripted')\nScripted.${call}\n"
        imageData.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep(title, parameters, script.toString()))
    }
}
