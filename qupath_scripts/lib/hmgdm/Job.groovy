package hmgdm

import java.util.concurrent.CancellationException
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

/** One run of the program: started from a list of arguments, listened to line by line, ended with its children. */
class Job {
    static final long GRACE_MS = 1200 // the program itself needs a second to leave nothing half written

    static final long LAST_WORDS_MS = 1000 // of a program that has ended; what it started may hold the pipe for longer

    private static final String ELSEWHERE = 'another folder for results in Extensions > H-MGDM > Settings'

    /** A process of ours: no shell, UTF-8 whatever the system, no network if the user says so. */
    static ProcessBuilder builder(List<String> command) {
        def builder = new ProcessBuilder(command*.toString())
        builder.environment().putAll([PYTHONIOENCODING: 'utf-8', PYTHONUTF8: '1', PYTHONUNBUFFERED: '1'])
        if (Prefs.offline().get()) builder.environment().putAll([HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1'])
        builder
    }

    /** Run a verb with its options as a request file; returns what it calls its result, and its notes. */
    static Map run(String verb, Map options, File folder, Closure onProgress = null, Closure cancelled = null) {
        folder.mkdirs()
        def request = File.createTempFile("hmgdm-${verb}-", '.json')
        try {
            request.setText(Json.write(options), 'UTF-8')
            return listen(Program.command() + [verb, '--request', request.path, '--events'], onProgress, cancelled)
        } catch (IOException error) {
            throw new Trouble("hmgdm ${verb} cannot be started (${error.message})", 'Extensions > H-MGDM > Check installation')
        } finally {
            request.delete()
        }
    }

    private static Map listen(List<String> command, Closure onProgress, Closure cancelled) {
        def process = builder(command).start()
        process.outputStream.close() // it cannot wait for an answer
        def lines = new LinkedBlockingQueue<String>()
        def nothing = new String('nothing')
        def tail = Collections.synchronizedList([])
        Thread.startDaemon('hmgdm-out') { try { process.inputStream.eachLine('UTF-8') { lines.put(it) } } catch (IOException gone) { } finally { lines.put(nothing) } }
        def errors = Thread.startDaemon('hmgdm-err') { try { process.errorStream.eachLine('UTF-8') { tail << it } } catch (IOException gone) { } }
        def known = new HashSet<ProcessHandle>()
        def said = [notes: []]
        long looked = 0, dead = 0
        try {
            while (true) {
                if (cancelled?.call()) throw new CancellationException()
                def line = lines.poll(50, TimeUnit.MILLISECONDS) // readLine cannot be interrupted, and a grandchild may hold the pipe
                long now = System.nanoTime()
                if (now - looked > 300_000_000L) {
                    looked = now
                    known.addAll(process.descendants().toList())
                }
                if (line.is(nothing)) break
                if (line != null) hear(line, said, tail, onProgress)
                else if (!process.isAlive()) {
                    if (dead == 0) dead = now
                    else if (now - dead > 1_000_000_000L) break
                }
            }
            def code = process.waitFor()
            errors.join(LAST_WORDS_MS)
            return concluded(said, code, tail)
        } finally {
            end(process, known)
        }
    }

    private static void hear(String line, Map said, List tail, Closure onProgress) {
        def event = line.startsWith('{') ? Json.parse(line) : null
        if (event == null) tail << line
        else if (event.stage == 'note') said.notes << event.message
        else if (event.stage) onProgress?.call(event)
        else said.putAll(event)
    }

    private static Map concluded(Map said, int code, List tail) {
        if (said.error) throw new Trouble(said.error as String, (said.fix ?: '').replace('another --results-dir', ELSEWHERE))
        if (code != 0 || said.result == null) {
            def last = tail.findAll { it.trim() }.takeRight(5).join('\n')
            throw new Trouble("hmgdm ended without a result (code ${code})${last ? ':\n' + last : ''}", 'Extensions > H-MGDM > Check installation')
        }
        said
    }

    /** End a process and everything below it within two seconds. */
    static void end(Process process, Collection<ProcessHandle> known = []) {
        def all = ((process.descendants().toList() as Set) + known + process.toHandle()).findAll { it.isAlive() } // before the parent dies
        all.each { it.destroy() }
        long limit = System.nanoTime() + GRACE_MS * 1_000_000L
        while (all.any { it.isAlive() } && System.nanoTime() < limit) Thread.sleep(20)
        all.findAll { it.isAlive() }.each { it.destroyForcibly() }
    }
}
