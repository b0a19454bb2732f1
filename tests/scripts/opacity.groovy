// How opaque our colours are, for menu.groovy: evaluate() it, and `faded` is a variable of the driver.
opaque = { fx { (window.viewer.overlayOptions.opacity as double).round(2) } }
slider = { fx { window.viewer.view.lookup('#hmgdm-opacity') } }
faded = { // moved in QuPath's toolbar, then in our legend
    told('opacity at first', opaque())
    fx { window.toolBar.items.find { it instanceof javafx.scene.control.Slider && it.max == 1 }.value = 0.25d }
    told('opacity in the legend', fx { slider().value.round(2) })
    snap('2-heat-map-faint')
    fx { slider().value = 0.7d }
    told('opacity of the viewer', opaque())
}
