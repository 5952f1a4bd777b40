"""ChatBridge for the `process` engine.

Set up, in a separate environment (CUDA):

    git clone https://github.com/joez17/ChatBridge && cd ChatBridge && conda env create -f environment.yml
    # set the checkpoints in eval_configs/chatbridge_eval.yaml, as described in its README
    export CHATBRIDGE_CODE=$PWD CHATBRIDGE_PYTHON=$(which python)
    mma-bench evaluate --model chatbridge

The argument is that config file. Its code always samples; top_p near 0 leaves only the most likely token, which makes
it greedy. It cuts a conversation to its last 2000 tokens, which would cut the clip off under `long_context`: prompts
that do not fit are answered as unsupported. It sees four frames, and hears the left channel, at most 10.24 s of it.
"""

import argparse
import sys

from json_lines import load_weights_only, require_context, serve, stdout_for_answers

GREEDY_TOP_P = 1e-6
CONTEXT = 2000  # `max_length` of the code's `Chat.answer`
FRAME_SHIFT_S, LONGEST_FRAMES = 0.01, 1024  # of the sound's filter banks


def main(cfg_path):
    with stdout_for_answers() as out:
        import torch

        load_weights_only(torch)
        from chatbridge.common.config import Config
        from chatbridge.common.registry import registry
        from chatbridge.conversation.conversation import CONV_ONLYVIDEO, CONV_VIDEO, Chat
        from chatbridge.models import ChatBridge  # noqa: F401 registers the model
        from chatbridge.processors.alpro_processors import AlproVideoEvalProcessor
        from chatbridge.processors.blip_processors import BlipAudioEvalProcessor

        config = Config(argparse.Namespace(cfg_path=cfg_path, options=None)).model_cfg
        config.device_8bit = 0
        model = registry.get_model_class(config.arch).from_config(config).to("cuda:0").eval()
        latest, fed, limit = {}, {}, {}
        see, hear = AlproVideoEvalProcessor(image_size=224, n_frms=4), BlipAudioEvalProcessor()

        def eyes(path):
            frames = see(path)  # [channels, frames, height, width]
            fed["frames"] = frames.shape[1]
            return frames

        def ears(banks):
            fed["sound_s"] = min(banks.shape[0], LONGEST_FRAMES) * FRAME_SHIFT_S
            return hear(banks)

        chat = Chat(model, eyes, ears, device="cuda:0")
        embed = chat.get_context_emb

        def embed_if_it_fits(conversation, media):
            embeds = embed(conversation, media)
            require_context(fed, embeds.shape[1], limit["new"], CONTEXT)
            return embeds

        chat.get_context_emb = embed_if_it_fits

        def answer(request, prompt):
            if latest.get("request") is not request:
                fed["frames"], fed["sound_s"] = 0, 0.0
                opening, media = (CONV_VIDEO if request["hears"] else CONV_ONLYVIDEO).copy(), []
                kind = "video" if request["hears"] else "onlyvideo"
                with torch.no_grad():
                    chat.upload_img(request["video"], opening, media, type=kind)
                latest["request"], latest["opening"], latest["media"] = request, opening, media
            conversation = latest["opening"].copy()
            chat.ask(prompt["text"], conversation)
            limit["new"] = prompt["max_new_tokens"]
            torch.manual_seed(prompt["seed"])
            greedy = prompt["temperature"] == 0
            with torch.no_grad():
                said, _ = chat.answer(
                    conversation,
                    latest["media"],
                    max_new_tokens=prompt["max_new_tokens"],
                    top_p=GREEDY_TOP_P if greedy else 0.9,
                    temperature=1.0 if greedy else prompt["temperature"],
                )
            return said, dict(fed)

        serve(out, "ChatBridge", cfg_path, answer)


if __name__ == "__main__":
    main(sys.argv[1])
