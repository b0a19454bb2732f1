// Ends of the scale of each row of numbers, and whether zero lies in its middle: args are lib/ and one row each.
def loader = new GroovyClassLoader(qupath.lib.color.ColorMaps.classLoader)
loader.addClasspath(args[0])
def scales = loader.loadClass('hmgdm.Scale')
args.drop(1).each { row ->
    def scale = scales.getConstructor(float[]).newInstance([row.tokenize(',').collect { it as float } as float[]] as Object[])
    println "${scale.low} ${scale.high} ${scale.signed}"
}
