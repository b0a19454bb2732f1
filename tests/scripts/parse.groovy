// Parses each file named; QuPath's own classes need not be there.
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.Phases

def bad = args.findAll { path ->
    def unit = new CompilationUnit()
    unit.addSource(new File(path))
    try {
        unit.compile(Phases.CONVERSION)
        false
    } catch (Exception error) {
        println "${path}: ${error.message}"
        true
    }
}
println "${args.size() - bad.size()} parsed with Groovy ${GroovySystem.version}"
System.exit(bad ? 1 : 0)
