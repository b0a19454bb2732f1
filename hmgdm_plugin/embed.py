"""`hmgdm embed`: slides to embeddings of tiles and entities (HDF5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .graph.compiled import compiling
from .schema import run
from .schema.events import Events
from .schema.folder import RunFolder
from .schema.options import EmbedOptions


@compiling()
def embed(options: EmbedOptions, events: Events) -> Mapping[str, Any]:
    """Write the embeddings of every slide; the run folder gets all of them or none.

    Raises
    ------
    InputError
        A slide, its pixel size, the regions, the model or the results folder is wrong.
    """
    from .analysis.encode import encode_tiles
    from .analysis.identity import Ids, add_features, feature_file
    from .analysis.plan import estimate, loaded, opened, planned, record

    folder = RunFolder(options.results_dir, overwrite=options.overwrite)
    with opened(options) as slides:
        model = loaded(options, events)
        plans = [planned(slide, model, options, events) for slide in slides]
        if options.dry_run:
            return estimate(plans, model, options, events)
        with folder, run.writing(folder.root):
            for plan in plans:
                ids = Ids(model, plan.slide)
                what = plan.slide, plan.tiles, model, events
                encoded = encode_tiles(*what, options.workers, nuclei=plan.nuclei, tissue=plan.tissue)
                with feature_file(folder.stage(run.features_h5(plan.slide.name)), plan, model) as file:
                    for tile in events.track("embed", encoded, len(plan.tiles)):
                        add_features(file, tile, ids.tile(tile), ids.entities(tile))
                plan.tell(events)
            return folder.commit(record("embed", options, slides, model, events))
