package hmgdm

/** What is wrong, and what to do about it: the same two sentences that the program's own errors have. */
class Trouble extends RuntimeException {
    final String problem
    final String fix

    Trouble(String problem, String fix) {
        super(fix ? problem + '; ' + fix : problem)
        this.problem = problem
        this.fix = fix
    }
}
