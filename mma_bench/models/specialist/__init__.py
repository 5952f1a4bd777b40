"""The specialist: separate networks for audio and video, so neither modality can influence the other."""
