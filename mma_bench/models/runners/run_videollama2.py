"""VideoLLaMA2 (audio-visual) for the `process` engine.

Set up, in a separate environment (Python 3.9, CUDA):

    git clone --branch audio_visual https://github.com/DAMO-NLP-SG/VideoLLaMA2 && cd VideoLLaMA2
    pip install -r requirements.txt && pip install flash-attn==2.5.8 --no-build-isolation
    export VIDEOLLAMA2_CODE=$PWD VIDEOLLAMA2_PYTHON=$(which python)
    mma-bench evaluate --model videollama2

The argument is the checkpoint, `DAMO-NLP-SG/VideoLLaMA2.1-7B-AV`. Its code replaces a missing track by zeros, so
without sound its audio branch is disabled instead: no audio tokens at all.
"""

import sys

from json_lines import serve, stdout_for_answers


def main(checkpoint):
    with stdout_for_answers() as out:
        import torch
        from videollama2 import mm_infer, model_init

        model, processor, tokenizer = model_init(checkpoint)
        ear = model.model.audio_tower
        latest = {}

        def answer(request, prompt):
            if latest.get("video") is not request:
                latest["video"], latest["media"] = request, _media(processor, request)
            torch.manual_seed(prompt["seed"])
            sampled = {"do_sample": True, "temperature": prompt["temperature"]} if prompt["temperature"] else {}
            model.model.audio_tower = ear if request["hears"] else None
            return mm_infer(
                latest["media"],
                prompt["text"],
                model=model,
                tokenizer=tokenizer,
                modal="video",
                max_new_tokens=prompt["max_new_tokens"],
                **(sampled or {"do_sample": False}),
            )

        serve(out, "VideoLLaMA2", checkpoint, answer)


def _media(processor, request):
    return processor["video"](request["video"], va=request["hears"])


if __name__ == "__main__":
    main(sys.argv[1])
