"""PandaGPT for the `process` engine.

Set up, in a separate environment (Python 3.9, CUDA):

    git clone https://github.com/yxuansu/PandaGPT && cd PandaGPT && pip install -r requirements.txt
    # put the ImageBind, Vicuna and PandaGPT weights into pretrained_ckpt/, as described in its README
    export PANDAGPT_CODE=$PWD PANDAGPT_PYTHON=$(which python)
    mma-bench evaluate --model pandagpt

Its code always samples; top_p near 0 leaves only the most likely token, which makes it greedy. It was tuned on at most
1,024 tokens, and its YAML file leaves `long_context` out. It sees ten frames and hears three stretches of 2 s, whose
embeddings are added up into one token. The optional argument is the weights folder.
"""

import contextlib
import subprocess
import sys
import wave

from json_lines import load_weights_only, require_context, serve, stdout_for_answers

CHECKPOINTS = "../pretrained_ckpt"
CONTEXT = 1024  # of pandagpt_7b_max_len_1024
STRETCH_S = 2.0
CROPS = 3  # of each frame
GREEDY_TOP_P = 1e-6


def main(checkpoints):
    with stdout_for_answers() as out:
        import torch

        load_weights_only(torch)
        from model.ImageBind import data
        from model.openllama import OpenLLAMAPEFTModel

        weights = checkpoints + "/pandagpt_ckpt/7b/pytorch_model.pt"
        model = OpenLLAMAPEFTModel(
            model="openllama_peft",
            imagebind_ckpt_path=checkpoints + "/imagebind_ckpt/",
            vicuna_ckpt_path=checkpoints + "/vicuna_ckpt/7b_v0",
            delta_ckpt_path=weights,
            stage=2,
            max_tgt_len=128,
            lora_r=32,
            lora_alpha=32,
            lora_dropout=0.1,
        )
        # The file contains only the weights trained by PandaGPT; the others are already loaded.
        model.load_state_dict(torch.load(weights, map_location="cpu"), strict=False)
        model = model.half().cuda().eval()
        latest, fed = {}, {}
        _watch_media(data, fed)
        embed = model.prepare_generation_embedding

        def embed_if_it_fits(asked):
            embeds = embed(asked)
            require_context(fed, embeds.shape[1], asked["max_tgt_len"], CONTEXT)
            return embeds

        model.prepare_generation_embedding = embed_if_it_fits

        def answer(request, prompt):
            if latest.get("request") is not request:
                fed["frames"], fed["sound_s"] = 0, 0.0
                latest["request"], latest["sound"], latest["embeds"] = request, _sound(request), []
            torch.manual_seed(prompt["seed"])
            greedy = prompt["temperature"] == 0
            said = model.generate(
                {
                    "prompt": prompt["text"],
                    "image_paths": [],
                    "audio_paths": latest["sound"],
                    "video_paths": [request["video"]],
                    "thermal_paths": [],
                    "top_p": GREEDY_TOP_P if greedy else 0.9,
                    "temperature": 1.0 if greedy else prompt["temperature"],
                    "max_tgt_len": prompt["max_new_tokens"],
                    "modality_embeds": latest["embeds"],  # filled by the clip's first prompt and reused by the others
                }
            )
            return said, dict(fed)

        serve(out, "PandaGPT", "pandagpt_7b_max_len_1024", answer)


def _watch_media(data, fed):
    """Record the frames and the seconds of sound that the code reads."""
    load_video, load_audio = data.load_and_transform_video_data, data.load_and_transform_audio_data

    def video(paths, *args, **kwargs):
        clips = load_video(paths, *args, **kwargs)  # [1, stretches × crops, channels, frames, height, width]
        fed["frames"] = clips.shape[1] // CROPS * clips.shape[3]
        return clips

    def audio(paths, *args, **kwargs):
        clips = load_audio(paths, *args, **kwargs)  # [1, stretches, 1, mel bins, steps]
        with contextlib.closing(wave.open(paths[0])) as track:
            fed["sound_s"] = min(track.getnframes() / track.getframerate(), clips.shape[1] * STRETCH_S)
        return clips

    data.load_and_transform_video_data, data.load_and_transform_audio_data = video, audio


def _sound(request):
    """The clip's audio as a separate WAV file, or nothing."""
    if not request["hears"]:
        return []
    path = request["video"] + ".wav"
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", request["video"], "-vn", "-ac", "1", "-ar", "16000", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return [path]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else CHECKPOINTS)
