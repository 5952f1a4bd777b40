"""VideoLLaMA2 (audio-visual) for the `process` engine.

Set up, in a separate environment (Python 3.9, CUDA):

    git clone --branch audio_visual https://github.com/DAMO-NLP-SG/VideoLLaMA2 && cd VideoLLaMA2
    pip install -r requirements.txt && pip install flash-attn==2.5.8 --no-build-isolation
    export VIDEOLLAMA2_CODE=$PWD VIDEOLLAMA2_PYTHON=$(which python)
    mma-bench evaluate --model videollama2

The argument is the checkpoint, `DAMO-NLP-SG/VideoLLaMA2.1-7B-AV`. Its code replaces a track that it cannot read by
zeros and goes on; here such a clip counts as fed without sound, which the engine refuses. Without sound, the audio
branch is disabled, as in the project's own demo: no audio tokens at all.
"""

import sys

from json_lines import load_weights_only, require_context, serve, stdout_for_answers

LONGEST_SOUND_S = 30.0  # the code cuts the rest off


def main(checkpoint):
    with stdout_for_answers() as out:
        import torch

        load_weights_only(torch)
        from videollama2 import mm_infer, mm_utils, model_init

        model, processor, tokenizer = model_init(checkpoint)
        ear = model.model.audio_tower
        latest, fed, limit = {}, {}, {}
        _watch_sound(mm_utils, fed)
        embed = model.prepare_inputs_labels_for_multimodal

        def embed_if_it_fits(input_ids, *args, **kwargs):
            inputs = embed(input_ids, *args, **kwargs)
            tokens = input_ids if inputs[3] is None else inputs[3]
            if tokens.shape[1] > 1:  # not one of the steps after the first
                require_context(fed, tokens.shape[1], limit["new"], model.config.max_position_embeddings)
            return inputs

        model.prepare_inputs_labels_for_multimodal = embed_if_it_fits

        def answer(request, prompt):
            if latest.get("request") is not request:
                fed["sound_s"] = 0.0
                latest["media"] = processor["video"](request["video"], va=request["hears"])
                latest["request"] = request
                frames = latest["media"]["video"] if request["hears"] else latest["media"]
                fed["frames"] = frames.shape[0]
            torch.manual_seed(prompt["seed"])
            sampled = {"do_sample": True, "temperature": prompt["temperature"]} if prompt["temperature"] else {}
            model.model.audio_tower = ear if request["hears"] else None
            limit["new"] = prompt["max_new_tokens"]
            said = mm_infer(
                latest["media"],
                prompt["text"],
                model=model,
                tokenizer=tokenizer,
                modal="video",
                max_new_tokens=prompt["max_new_tokens"],
                **(sampled or {"do_sample": False}),
            )
            return said, dict(fed)

        serve(out, "VideoLLaMA2", checkpoint, answer)


def _watch_sound(mm_utils, fed):
    """Record the seconds of sound that the code reads; none if reading fails, which the code only prints."""
    load = mm_utils.load_audio_from_video

    def load_and_record(*args, **kwargs):
        waveform, rate = load(*args, **kwargs)
        fed["sound_s"] = min(len(waveform) / rate, LONGEST_SOUND_S)
        return waveform, rate

    mm_utils.load_audio_from_video = load_and_record


if __name__ == "__main__":
    main(sys.argv[1])
