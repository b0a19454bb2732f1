package hmgdm

import groovy.transform.CompileStatic
import java.util.concurrent.ConcurrentHashMap
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.customizers.ImportCustomizer
import org.codehaus.groovy.runtime.InvokerHelper
import qupath.lib.gui.scripting.QPEx
import qupath.lib.scripting.ScriptAttributes

/**
 * A script of the menu, run as QuPath's script editor would, with two differences. It is compiled while nobody waits: the
 * first click would stand still for a quarter of a second. And QuPath is not told afterwards that all objects have changed:
 * its window would sort and paint every one of them. What an entry changes, it says.
 */
@CompileStatic
class Entry {
    private static final Map<String, Class> known = new ConcurrentHashMap<String, Class>()

    /** The class of a script; compiled anew when its file has changed. */
    static Class compiled(File file) { known.computeIfAbsent("${file.path} ${file.lastModified()}".toString()) { String key -> compile(file) } }

    private static Class compile(File file) {
        ImportCustomizer imports = new ImportCustomizer()
        for (Class each : QPEx.getCoreClasses()) imports.addImports(each.getName())
        imports.addStaticStars(QPEx.getName())
        CompilerConfiguration settings = new CompilerConfiguration()
        settings.addCompilationCustomizers(imports)
        settings.setSourceEncoding('UTF-8')
        new GroovyClassLoader(QPEx.getClassLoader(), settings).parseClass(file)
    }

    static void run(File file) {
        Binding binding = new Binding([(ScriptAttributes.FILE_PATH): file.getPath(), args: new String[0]])
        InvokerHelper.createScript(compiled(file), binding).run()
    }
}
