package hmgdm

import com.google.gson.JsonIOException

/** A disk that is full or cannot be written, as one sentence with its fix. */
class Disk {
    static Object writing(Object what, String fix = 'free some space, then do it again; nothing was changed', Closure work) {
        try {
            return work()
        } catch (IOException | JsonIOException error) {
            def cause = error instanceof JsonIOException && error.cause ? error.cause : error
            throw new Trouble("${what}: cannot be written (${cause.message})", fix)
        }
    }
}
