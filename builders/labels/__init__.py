"""Labels: AudioSet's segment lists, the class decisions of the ontology's curation, and VGGSounder's human labels."""
