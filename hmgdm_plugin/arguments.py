"""What can be typed after a verb: the name, the unit and the one line of help of every argument and option.

`None` means not given: then ``--request`` decides, and after it the default of `schema.options`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option

Flag = bool | None
Text = str | None
File = Path | None
Number = float | None
Count = int | None

Slides = Annotated[
    list[Path] | None, Argument(metavar="SLIDE", help="Slides or images: SVS, TIFF, DICOM, PNG and more")
]
SettingsFile = Annotated[File, Argument(metavar="SETTINGS.toml", help="Settings; docs/pretrain.md explains them")]
Shown = Annotated[File, Argument(metavar="SLIDE|PROJECT", help="What to show first")]
TrainFile = Annotated[Path, Argument(metavar="SETTINGS.toml", help="Settings; docs/train.md explains them")]
ClassifyFile = Annotated[Path, Argument(metavar="SETTINGS.toml", help="Settings; docs/classify.md explains them")]
SurvivalFile = Annotated[Path, Argument(metavar="SETTINGS.toml", help="Settings; docs/survival.md explains them")]
DetectorFile = Annotated[Path, Argument(metavar="SETTINGS.toml", help="Settings; docs/nuclei-model.md explains them")]
StarDistFolder = Annotated[Path, Argument(metavar="FOLDER", help="Folder with config.json and weights_best.h5")]
NewName = Annotated[str, Option("--name", metavar="NAME", help="Name of the model here; else that of the folder")]
ModelMpp = Annotated[Number, Option("--mpp", metavar="X", help="Microns per pixel of its training images")]
ModelName = Annotated[str, Argument(metavar="NAME|FOLDER", help="Model of the zoo, or a model folder")]

Source = Annotated[
    File, Argument(metavar="SOURCE", help="Folder, CSV with slide_id,path,mpp, or QuPath project (.qpproj)")
]
Run1 = Annotated[Path, Argument(metavar="RUN1", help="Results folder of a batch")]
Run2 = Annotated[Path, Argument(metavar="RUN2", help="Results folder of another batch over the same slides")]


def _folder(text: str) -> Path:
    """A folder's path; an empty one would be taken for the folder we are in."""
    if not text:
        raise BadParameter("is empty; give a folder, or . for this one")
    return Path(text)


Results = Annotated[File, Option(metavar="DIR", parser=_folder, help="Folder for the results; made if missing")]
TrainResults = Annotated[Path, Option(metavar="DIR", help="Folder for the results; made if missing")]
Only = Annotated[str, Option(metavar="NAME", help="Train fold-0, fold-1, ... or final alone, to train them at once")]
Model = Annotated[Text, Option(metavar="NAME|FOLDER", help="Model of the zoo (hmgdm-small), or a model folder")]
Detector = Annotated[
    Text, Option("--model", metavar="NAME|FOLDER", help="Nucleus detector (nuclei-stardist-he), or its folder")
]
Precision = Annotated[
    Text, Option(metavar="auto|float32|bfloat16", help="auto: bfloat16, twice as fast, where the processor has it")
]
Device = Annotated[Text, Option(metavar="auto|cpu|cuda|mps", help="Where to compute; auto takes a GPU if there is one")]
Workers = Annotated[Count, Option(metavar="N", help="Parallel workers; 0 (the default): one per core")]
Seed = Annotated[Count, Option(metavar="N", help="Seed of everything random; 0 by default")]
Overwrite = Annotated[Flag, Option("--overwrite", help="Replace the results of an earlier run in this folder")]
DryRun = Annotated[Flag, Option("--dry-run", help="Print the settings and the estimated cost, then stop")]
JsonLines = Annotated[Flag, Option("--events", help="Progress and result as JSON lines on standard output")]
Request = Annotated[File, Option(metavar="FILE.json", help="Options as JSON; those given here win over it")]

Slide = Annotated[File, Option(metavar="FILE", help="A slide of your own instead of the bundled image")]
Mpp = Annotated[Number, Option(metavar="X", help="Microns per full-resolution pixel, where the file has none")]
Regions = Annotated[File, Option(metavar="FILE.geojson", help="Regions to analyse, as exported from QuPath")]
Nuclei = Annotated[
    Text, Option(metavar="FILE|stardist|none", help="Nuclei as entities: GeoJSON cells, label image, folder, or found")
]
EachRegions = Annotated[
    File, Option("--regions", metavar="FOLDER", help="Regions to analyse: a GeoJSON for each slide, named like its id")
]
EachNuclei = Annotated[
    Text, Option("--nuclei", metavar="FOLDER|stardist|none", help="Nuclei as entities: a file for each slide, or found")
]
Overlap = Annotated[Number, Option(metavar="X", help="Overlap of neighbouring tiles, 0 (the default) to 0.9 of a side")]
Tissue = Annotated[Number, Option(metavar="X", help="Least tissue in a tile, 0 to 1 of its area; 0.25 by default")]
MapTissue = Annotated[Number, Option(metavar="X", help="Least tissue in a tile that maps and medians count; 0.5")]
Heads = Annotated[list[str] | None, Option(metavar="NAME", help="Prediction to compute; repeat for several")]
Show = Annotated[Text, Option(metavar="NAME", help="Prediction drawn on the overlay; else the first")]
Explain = Annotated[Flag, Option("--explain", help="Also explain the prediction shown, as hmgdm explain does")]
Head = Annotated[Text, Option(metavar="NAME", help="Prediction to explain; else the first")]
Output = Annotated[Text, Option(metavar="CLASS", help="Class to explain; else the predicted one")]
Columns = Annotated[Flag, Option("--columns", help="Also write objects as columns (.npz), fast to load into QuPath")]
Without = Annotated[list[str] | None, Option(metavar="ID", help="Entity to leave out, then score again; repeatable")]
Stage = Annotated[Text, Option(metavar="all|graphs|autoencoder|diffusion", help="Run one stage only; all by default")]
Resume = Annotated[Flag, Option("--resume", help="Go on from the last checkpoint in the results folder")]
Page = Annotated[File, Option(metavar="FILE.md", help="Also write the page here, with its table and picture")]
OnlyRow = Annotated[Text, Option("--only", metavar="ROW", help="Make this row alone, to make several at once")]
EvaluateFile = Annotated[File, Argument(metavar="SETTINGS.toml", help="Settings; docs/evaluate.md explains them")]
Processes = Annotated[Count, Option(metavar="N", help="Processes that train together on this machine; 1 by default")]

Slots = Annotated[Count, Option("--workers", metavar="N", help="Slides at a time, a core each; 0: one per core")]
Shard = Annotated[Text, Option(metavar="i/n", help="Only the i-th of n parts of the slides, for job arrays")]
Engine = Annotated[Text, Option(metavar="local|ray", help="Processes here (the default), or tasks of a Ray cluster")]
Cpus = Annotated[Number, Option(metavar="X", help="Cores that Ray keeps for each slide, 1 by default; 0.5 is fine")]
Gpus = Annotated[Number, Option(metavar="X", help="GPUs that Ray keeps for each slide, 0 by default; 0.25 is fine")]
GoOn = Annotated[Flag, Option("--resume/--no-resume", help="Go on with the batch in the folder (default), or refuse")]
SlideMinutes = Annotated[Number, Option(metavar="X", help="Give up on a slide that takes longer; 0: no limit")]
WouldDo = Annotated[Flag, Option("--dry-run", help="Say what would be added, replaced and left, then stop")]
Retry = Annotated[Flag, Option("--retry", help="Try slides again that failed for good")]

NewProject = Annotated[Path, Argument(metavar="FOLDER", help="New folder for the project")]
ProjectSlides = Annotated[list[Path], Argument(metavar="SLIDE", help="Slides, or folders that hold them")]
Project = Annotated[Path, Argument(metavar="PROJECT", help="A project.qpproj, or its folder")]
Image = Annotated[str, Option(metavar="ID|NAME", help="The image, by the number or the name it has in the project")]
Out = Annotated[Path, Option(metavar="FILE.geojson", help="File for the objects; compressed if it ends in .gz")]
ObjectKind = Annotated[str, Option(metavar="annotations|detections|cells|tiles|all", help="Which objects")]
FoundResults = Annotated[Path, Option(metavar="DIR", help="Results folder that hmgdm has written")]

AsJson = Annotated[bool, Option("--json", help="Print JSON for programs")]
Version = Annotated[bool, Option("--version", help="Print the version, then stop")]
