// Which places of the maps of a run have a colour in QuPath: args are lib/, the TIFF and the quantities.
def loader = new GroovyClassLoader(qupath.lib.color.ColorMaps.classLoader)
loader.addClasspath(args[0])
['Show', 'Ours'].each { loader.loadClass('hmgdm.' + it) }
def layers = loader.loadClass('hmgdm.Layers').newInstance(new File(args[1]))
args.drop(2).each { println layers.page(it).collect { value -> !Float.isNaN(value) } }
println layers.components().with { image -> (0..<image.width).collect { image.getRGB(it, 0) != 0 } }
