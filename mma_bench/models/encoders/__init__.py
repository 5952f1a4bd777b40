"""Zero-shot encoders: a picture-text model (SigLIP 2, CLIP) and a sound-text model (CLAP), neither with access to the
other modality.
"""
