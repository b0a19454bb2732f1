package hmgdm

import java.util.concurrent.TimeUnit

/** The `hmgdm` program: found by itself where possible, and asked whether it is new enough. */
class Program {
    static final List<Integer> LEAST = [0, 1, 0]
    static final boolean WINDOWS = System.getProperty('os.name').toLowerCase().startsWith('win')

    /** The command that starts it, as a list of arguments. */
    static List<String> command() {
        def set = Prefs.program().get()?.trim()?.replaceFirst(/^"(.*)"$/, '$1') // as Windows copies a path
        if (set) return [checked(new File(set), 'correct it in Extensions > H-MGDM > Settings')]
        def found = places().find { it.isFile() && it.canExecute() }
        if (found == null)
            throw new Trouble('the hmgdm program was not found', 'install it (docs/install.md), then give its path in Extensions > H-MGDM > Settings')
        [found.path]
    }

    private static String checked(File file, String fix) {
        if (!file.isFile()) throw new Trouble("${file}: no such program", fix)
        if (!file.canExecute()) throw new Trouble("${file}: is not a program", fix)
        file.path
    }

    /** Where it may be: beside the scripts, in an active environment, on the path, in the usual places. */
    static List<File> places() {
        def name = WINDOWS ? 'hmgdm.exe' : 'hmgdm'
        def inside = WINDOWS ? 'Scripts' : 'bin'
        def env = System.getenv()
        def home = System.getProperty('user.home')
        List<File> out = []
        for (def up = Home.folder(); up != null && out.size() < 40; up = up.parentFile) {
            out << new File(up, ".venv/${inside}/${name}") << new File(up, "venv/${inside}/${name}")
            if (up.name in ['lib', 'Lib']) out << new File(up.parentFile, "${inside}/${name}") // installed as a package
        }
        ['VIRTUAL_ENV', 'CONDA_PREFIX'].each { if (env[it]) out << new File(env[it], "${inside}/${name}") }
        def path = env.find { it.key.equalsIgnoreCase('PATH') }?.value ?: ''
        path.split(File.pathSeparator).findAll().each { out << new File(it, name) }
        [".local/bin/${name}", ".venv/${inside}/${name}", "hmgdm/.venv/${inside}/${name}"].each { out << new File(home, it.toString()) }
        if (!WINDOWS) ['/usr/local/bin', '/opt/homebrew/bin'].each { out << new File(it, name) } // a Mac's window has a bare path
        out.unique()
    }

    /** Its version; it must be one that these scripts know. */
    static String version(List<String> command = command()) {
        def said = ask(command + ['--version'], 60)
        def found = said =~ /(?m)^hmgdm (\d+)\.(\d+)\.(\d+)/
        if (!found.find())
            throw new Trouble("${command[0]}: is not hmgdm, or cannot start (${said.readLines().find() ?: 'it says nothing'})", 'correct the path in Extensions > H-MGDM > Settings, or install it again')
        def numbers = (1..3).collect { found.group(it) as int }
        for (int k = 0; k < 3; k++) {
            if (numbers[k] > LEAST[k]) break
            if (numbers[k] < LEAST[k])
                throw new Trouble("hmgdm ${numbers.join('.')} is too old for these scripts (${LEAST.join('.')} or later)", 'install the newer hmgdm')
        }
        numbers.join('.')
    }

    /** All that a short command says; it never hangs. */
    static String ask(List<String> command, long seconds) {
        def process
        try {
            process = Job.builder(command).redirectErrorStream(true).start()
        } catch (IOException error) {
            throw new Trouble("${command[0]}: cannot be started (${error.message})", 'correct the path in Extensions > H-MGDM > Settings')
        }
        process.outputStream.close()
        def text = new StringBuffer()
        def reader = Thread.startDaemon { process.inputStream.eachLine('UTF-8') { text << it << '\n' } }
        if (!process.waitFor(seconds, TimeUnit.SECONDS)) {
            Job.end(process)
            throw new Trouble("${command[0]}: no answer in ${seconds} s", 'try it in a terminal: hmgdm doctor')
        }
        reader.join(2000)
        text.toString()
    }
}
