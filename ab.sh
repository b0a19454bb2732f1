#!/bin/bash
# A/B of processor time: base and new, interleaved
for k in 1 2; do
 for t in viewer-base viewer; do echo "== $t"; WT=/work/wt/$t DRIVER=/work/tmp-viewer/profile.groovy /work/tmp-viewer/b.sh --objects 100000 2>&1 | grep -vE "^ +[LP0-9]+ " | cut -c1-260; done
done
