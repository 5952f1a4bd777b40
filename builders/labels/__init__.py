"""Labels: AudioSet's segment lists, the class decisions of the ontology curation, and VGGSounder's human labels."""
