"""PandaGPT for the `process` engine.

Set up, in a separate environment (Python 3.9, CUDA):

    git clone https://github.com/yxuansu/PandaGPT && cd PandaGPT && pip install -r requirements.txt
    # put the ImageBind, Vicuna and PandaGPT weights into pretrained_ckpt/, as described in its README
    export PANDAGPT_CODE=$PWD PANDAGPT_PYTHON=$(which python)
    mma-bench evaluate --model pandagpt

Its code always samples; top_p near 0 leaves only the most likely token, which makes it greedy. Its context has room for
about 400 tokens, so its YAML file leaves `long_context` out. The optional argument is the weights folder.
"""

import subprocess
import sys

from json_lines import serve, stdout_for_answers

CHECKPOINTS = "../pretrained_ckpt"
GREEDY_TOP_P = 1e-6


def main(checkpoints):
    with stdout_for_answers() as out:
        import torch
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
        latest = {}

        def answer(request, prompt):
            if latest.get("request") is not request:
                latest["request"], latest["sound"], latest["embeds"] = request, _sound(request), []
            torch.manual_seed(prompt["seed"])
            greedy = prompt["temperature"] == 0
            return model.generate(
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

        serve(out, "PandaGPT", "pandagpt_7b_max_len_1024", answer)


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
