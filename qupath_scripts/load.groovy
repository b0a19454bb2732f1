// The classes of lib/, compiled once per session and again when one of them has changed: evaluate(load.groovy)('Name', …)
def home = new File(this.class.protectionDomain.codeSource.location.toURI()).parentFile
def lib = new File(home, 'lib')
def stamp = "${lib} " + new File(lib, 'hmgdm').listFiles().sum { it.lastModified() }
def known = System.properties.get('hmgdm.classes')
if (known == null || known[0] != stamp.toString()) {
    def loader = new GroovyClassLoader(qupath.lib.objects.PathObject.classLoader)
    loader.addClasspath(lib.path)
    known = [stamp.toString(), loader]
    System.properties.put('hmgdm.classes', known)
}
// One thread at a time: two that compile at once would make two classes of one name.
return { String... names -> synchronized (known[1]) { names.collect { known[1].loadClass('hmgdm.' + it) } } }
