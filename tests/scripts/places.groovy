// Mean colour, as QuPath shows it, inside each tile of H-MGDM: [x, y, width, height, red, green, blue].
import com.google.gson.Gson

def server = getCurrentServer()
def out = getAllObjects(false).findAll { it.name?.startsWith('tile ') }.collect { tile ->
    def image = server.readRegion(RegionRequest.createInstance(server.path, 1, tile.ROI))
    def sums = [0d, 0d, 0d]
    for (int y = 0; y < image.height; y++) for (int x = 0; x < image.width; x++) {
        int rgb = image.getRGB(x, y)
        sums[0] += (rgb >> 16) & 255
        sums[1] += (rgb >> 8) & 255
        sums[2] += rgb & 255
    }
    [tile.ROI.boundsX, tile.ROI.boundsY, tile.ROI.boundsWidth, tile.ROI.boundsHeight] + sums.collect { it / (image.width * image.height) }
}
new File(args[0]).setText(new Gson().toJson([width: server.width, height: server.height, server: server.serverType, tiles: out]), 'UTF-8')
