package hmgdm

import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.prefs.PathPrefs

/** What a user can set; kept by QuPath as its own preferences. */
class Prefs {
    static final String CATEGORY = 'H-MGDM'

    static program() { PathPrefs.createPersistentPreference('hmgdm.program', '') } // empty: look for it
    static model() { PathPrefs.createPersistentPreference('hmgdm.model', 'hmgdm-small') }
    static detector() { PathPrefs.createPersistentPreference('hmgdm.detector', 'nuclei-stardist-he') }
    static device() { PathPrefs.createPersistentPreference('hmgdm.device', 'auto') }
    static offline() { PathPrefs.createPersistentPreference('hmgdm.offline', true) }
    static runs() { PathPrefs.createPersistentPreference('hmgdm.runs', '') } // empty: in the project, or at home

    static opacity() { PathPrefs.createPersistentPreference('hmgdm.opacity', 0.6d) } // of our colours, as the user last had it

    /** Rows of the settings: property, kind of value, name, what it means. */
    static List<List> rows() {
        [
            [program(), String, 'Program', 'Path of the hmgdm program; empty: it is looked for'],
            [model(), String, 'Model', 'Model of the zoo, or the path of a model folder'],
            [detector(), String, 'Nuclei model', 'Model that finds nuclei, or the path of a model folder'],
            [device(), String, 'Device', 'auto, cpu, cuda or mps'],
            [runs(), String, 'Results', 'Folder for results; empty: hmgdm-runs in the project, else in your home folder'],
            [offline(), Boolean, 'Offline', 'Tell every library that there is no network; H-MGDM itself never uses one'],
        ]
    }

    /** Also show them among QuPath's preferences; once. */
    static void show(QuPathGUI qupath) {
        def items = qupath.preferencePane.propertySheet.items
        if (items.any { it.category == CATEGORY }) return
        rows().each { property, kind, name, about ->
            items.add(new qupath.fx.prefs.controlsfx.PropertyItemBuilder(property, kind).name(name).category(CATEGORY).description(about).build())
        }
    }

    static void hide(QuPathGUI qupath) { qupath.preferencePane.propertySheet.items.removeIf { it.category == CATEGORY } }
}
