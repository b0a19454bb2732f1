"""How models learn and how honestly they are judged: stages, heads, folds by patient, probes, intervals."""
