package hmgdm

/** Where these scripts lie. */
class Home {
    static File folder() {
        for (def loader = Home.classLoader; loader != null; loader = loader.parent)
            for (def path : loader instanceof GroovyClassLoader ? loader.classPath : [])
                if (new File(path, 'hmgdm/Home.groovy').isFile()) return new File(path).canonicalFile.parentFile
        throw new Trouble('the H-MGDM scripts do not know their folder', 'run install_menu.groovy again')
    }

    /** `text` as a literal of Groovy: no dollar or quote in a path can end it. */
    static String quoted(String text) { "'" + text.replace('\\', '\\\\').replace("'", "\\'") + "'" }
}
