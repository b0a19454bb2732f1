package hmgdm

/** Where these scripts lie. */
class Home {
    static File folder() {
        for (def loader = Home.classLoader; loader != null; loader = loader.parent)
            for (def url : loader instanceof GroovyClassLoader ? loader.URLs : []) { // as a path, a space would be %20
                def library = url.protocol == 'file' ? new File(url.toURI()) : null
                if (library && new File(library, 'hmgdm/Home.groovy').isFile()) return library.canonicalFile.parentFile
            }
        throw new Trouble('the H-MGDM scripts do not know their folder', 'run install_menu.groovy again')
    }

    /** `text` as a literal of Groovy: no dollar or quote in a path can end it. */
    static String quoted(String text) { "'" + text.replace('\\', '\\\\').replace("'", "\\'") + "'" }
}
