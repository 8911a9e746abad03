"""What needs only Python: configurations, vocabularies, arguments."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "python"))

from sdopt_tools import export_cli, record_cli, tokenizer_files  # noqa: E402
from sdopt_tools.architectures import ARCHITECTURES, SCALES, scaled, tiny  # noqa: E402
from sdopt_tools.commands import run  # noqa: E402
from sdopt_tools.errors import UsageError  # noqa: E402


def every_variant():
    for entry in ARCHITECTURES.values():
        yield entry
        yield tiny(entry)
        for factor in SCALES:
            yield scaled(entry, factor)


class Architectures(unittest.TestCase):
    def test_groups_divide_channels_and_heads_divide_widths(self):
        for entry in every_variant():
            for component in entry.components:
                config = component.config
                with self.subTest(architecture=entry.name, component=component.name):
                    for channels in config.get("block_out_channels", ()):
                        self.assertEqual(channels % config["norm_num_groups"], 0)
                    if component.name == "unet":
                        channels = config["block_out_channels"]
                        heads = config["attention_head_dim"]
                        heads = heads if isinstance(heads, tuple) else (heads,) * len(channels)
                        for width, count in zip(channels, heads, strict=True):
                            self.assertEqual(width % count, 0)
                    if component.library == "transformers":
                        width, count = config["hidden_size"], config["num_attention_heads"]
                        self.assertEqual(width % count, 0)

    def test_text_width_is_what_the_denoiser_expects(self):
        for entry in every_variant():
            with self.subTest(architecture=entry.name):
                widths = [c.config["hidden_size"] for c in entry.components if "text" in c.name]
                pooled = [c.config["projection_dim"] for c in entry.components if "text" in c.name]
                if entry.name == "sd3":
                    config = entry.component("transformer").config
                    self.assertLessEqual(sum(widths), config["joint_attention_dim"])
                    self.assertEqual(sum(pooled), config["pooled_projection_dim"])
                else:
                    config = entry.component("unet").config
                    self.assertEqual(sum(widths), config["cross_attention_dim"])
                if entry.name == "sdxl":
                    sizes = 6 * config["addition_time_embed_dim"]
                    self.assertEqual(
                        pooled[1] + sizes, config["projection_class_embeddings_input_dim"]
                    )

    def test_scaling_is_exact(self):
        half = scaled(ARCHITECTURES["sd2-inpainting"], 0.5).component("unet").config
        self.assertEqual(half["block_out_channels"], (160, 320, 640, 640))
        self.assertEqual(half["attention_head_dim"], (5, 10, 20, 20))
        self.assertEqual(half["in_channels"], 9)

    def test_other_scales_are_rejected(self):
        with self.assertRaisesRegex(UsageError, "0.25, 0.5, 1, 2"):
            scaled(ARCHITECTURES["sd15"], 0.3)


class Vocabulary(unittest.TestCase):
    def test_has_the_asked_size_and_special_tokens_last(self):
        for size in (600, 1000, 49408):
            vocabulary, merges = tokenizer_files.make_vocabulary(size)
            self.assertEqual(sorted(vocabulary.values()), list(range(size)))
            self.assertEqual(vocabulary["<|startoftext|>"], size - 2)
            self.assertEqual(vocabulary["<|endoftext|>"], size - 1)
            self.assertEqual(len(merges), size - 514)

    def test_each_merge_joins_known_tokens_to_a_known_one(self):
        vocabulary, merges = tokenizer_files.make_vocabulary(3000)
        for number, (left, right) in enumerate(merges):
            self.assertEqual(vocabulary[left + right], 512 + number)
            self.assertLess(vocabulary[left], 512 + number)
            self.assertLess(vocabulary[right], 512)


def outcome(command, body, *arguments):
    """Exit code and what was printed as the error."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            code = run(command, body, list(arguments))
        except SystemExit as stop:  # argparse
            code = stop.code
    return code, err.getvalue()


class Arguments(unittest.TestCase):
    def check(self, message, *arguments):
        code, text = outcome("sdopt-export", export_cli.export, *arguments, "-o", "unused")
        self.assertEqual(code, 1)
        self.assertIn(message, text)
        self.assertEqual(text.count("\n"), 1)
        self.assertFalse(Path("unused").exists())

    def test_export_errors(self):
        self.check("no pipeline given")
        self.check("--seed needs --random-weights", "folder", "--seed", "3")
        self.check("--tiny needs --random-weights", "folder", "--tiny")
        self.check("--random-weights needs --architecture", "--random-weights")
        self.check("exclude each other", "folder", "--random-weights", "--architecture", "sd15")
        random = ("--random-weights", "--architecture")
        self.check("'sd9' is not known; use one of sd15", *random, "sd9")
        self.check("exclude each other", *random, "sd15", "--tiny", "--scale-channels", "0.5")
        self.check("--scale-channels 3 is not possible", *random, "sd15", "--scale-channels", "3")
        self.check("--batch 0 is not a positive number", *random, "sd15", "--batch", "0")
        for limit in ("nan", "inf", "-1"):
            self.check(f"--data-file-limit {limit} is not", *random, "sd15", "--data-file-limit", limit)
        self.check("--opset 99 is not possible", *random, "sd15", "--opset", "99")

    def test_static_and_symbolic_exclude_each_other(self):
        code, text = outcome(
            "sdopt-export", export_cli.export, "x", "-o", "unused", "--static", "--symbolic"
        )
        self.assertEqual(code, 2)
        self.assertIn("not allowed with argument", text)

    def test_record_errors(self):
        code, text = outcome(
            "sdopt-record", record_cli.record, "no-such-folder", "--prompts", "p", "-o", "unused"
        )
        self.assertEqual(code, 1)
        self.assertIn("has no model_index.json", text)
        for flag, value, message in (
            ("--guidance", "nan", "--guidance nan is not within"),
            ("--guidance", "1e38", "is not within 1000"),
            ("--height", "70", "--height 70 is not a multiple of 8 pixels"),
        ):
            code, text = outcome(
                "sdopt-record", record_cli.record, "x", "--prompts", "p", "-o", "unused", flag, value
            )
            self.assertEqual(code, 1)
            self.assertIn(message, text)

    def test_modules(self):
        names = ["text_encoder", "unet"]
        self.assertEqual(export_cli.wanted_modules(names, None), names)
        self.assertEqual(export_cli.wanted_modules(names, "unet"), ["unet"])
        with self.assertRaisesRegex(UsageError, "names none; there are text_encoder, unet"):
            export_cli.wanted_modules(names, "")
        with self.assertRaisesRegex(UsageError, "'vae'.*it has text_encoder, unet"):
            export_cli.wanted_modules(names, "unet,vae")

    def test_seeds(self):
        self.assertEqual(record_cli.read_seeds("3,1,3"), [3, 1])
        with self.assertRaisesRegex(UsageError, "--seeds '1,x'"):
            record_cli.read_seeds("1,x")


if __name__ == "__main__":
    unittest.main()
