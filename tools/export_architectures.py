"""The networks of the paper's embedders, with official or seeded weights, and their sections of models.toml.

Runs inside the environment that export_models.py makes.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

import seeded_weights

NAMES = [
    "resnet50", "resnext50", "timesformer-k600", "timesformer-k600-ncthw",
    "wav2vec2-base", "wav2vec2-base-moments", "wav2vec2-base-context", "wav2vec2-layer-norm",
]

# wav2vec 2.0's convolutions: kernels and strides, and what follows from them.
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
FRAME_SAMPLES, HOP_SAMPLES = 400, 320


class ExportError(Exception):
    """A model cannot be made; the message gives the reason."""


@dataclass
class Made:
    """A network ready for export."""

    name: str
    role: str
    network: nn.Module
    inputs: dict  # name -> (example tensor, {axis: name} of free axes)
    output: tuple  # (name, {axis: name})
    dimension: int | None
    sections: str  # of models.toml
    licence: str
    licence_note: str
    seeded: bool = False
    extra: dict = field(default_factory=dict)


def official(name, time_embedding):
    """The network `name` with the weights of its official release."""
    try:
        return _make(name, None, time_embedding)
    except (OSError, RuntimeError, ValueError) as error:
        raise ExportError(f"cannot download the official weights of {name}: {error}") from error


def seeded(name, size):
    """The network `name` in the given size with seeded weights."""
    made = _make(name, size, "nearest")
    made.seeded = True
    made.name = f"seeded-{size}-{name}"
    made.licence, made.licence_note = "Apache-2.0", "Weights from a formula (tools/seeded_weights.py): they mean nothing."
    seeded_weights.fill(made.network)
    return made


def _make(name, size, time_embedding):
    if name not in NAMES:
        raise ExportError(f"there is no model {name}; the names are: {', '.join(NAMES)}")
    with torch.no_grad():
        if name.startswith("resne"):
            made = _resnet(name, size)
        elif name.startswith("timesformer"):
            made = _timesformer(name, size, time_embedding)
        else:
            made = _wav2vec2(name, size)
    made.network.eval()
    return made


# ---- pictures

PICTURE = """[model.picture]
width = {side}
height = {side}
resize = "stretch"
divide_by = 255.0
mean = {mean}
std = {std}
"""


def _resnet(name, size):
    from torchvision.models import ResNet50_Weights, ResNeXt50_32X4D_Weights, resnet50, resnext50_32x4d
    from torchvision.models.resnet import Bottleneck, ResNet

    wide = {"groups": 32, "width_per_group": 4} if name == "resnext50" else {}
    if size is None:
        network = (
            resnext50_32x4d(weights=ResNeXt50_32X4D_Weights.IMAGENET1K_V1)
            if wide else resnet50(weights=ResNet50_Weights.IMAGENET1K_V1)
        )
    else:
        network = ResNet(Bottleneck, [1, 1, 1, 1] if size == "tiny" else [3, 4, 6, 3], **wide)
    side = 64 if size == "tiny" else 224
    network.fc = nn.Identity()
    # The notebook of the paper scales to [0, 1] and does not normalise further (method, section 4).
    sections = PICTURE.format(side=side, mean=[0.0] * 3, std=[1.0] * 3)
    return Made(
        name, "image-embedding", network, {"image": (torch.zeros(1, 3, side, side), {0: "batch"})},
        ("features", {0: "batch"}), 2048, sections, "BSD-3-Clause",
        "torchvision's weights, trained on ImageNet: read ImageNet's terms before any commercial use.",
    )


class ClipVector(nn.Module):
    """TimeSformer's vector of a clip: the class token of the last layer."""

    def __init__(self, network, channels_first):
        super().__init__()
        self.network, self.channels_first = network, channels_first

    def forward(self, clip):
        if self.channels_first:
            clip = clip.permute(0, 2, 1, 3, 4)
        return self.network(pixel_values=clip).last_hidden_state[:, 0]


def _timesformer(name, size, time_embedding):
    from transformers import TimesformerConfig, TimesformerModel

    channels_first = name.endswith("-ncthw")
    if size is None:
        network = TimesformerModel.from_pretrained("facebook/timesformer-base-finetuned-k600")
        _stretch_time(network, 16, time_embedding)
    else:
        tiny = {
            "image_size": 32, "patch_size": 8, "num_frames": 4, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4,
        }
        network = TimesformerModel(TimesformerConfig(**(tiny if size == "tiny" else {"num_frames": 16})))
    config = network.config
    frames, side = config.num_frames, config.image_size
    shape = (1, 3, frames, side, side) if channels_first else (1, frames, 3, side, side)
    layout = "ncthw" if channels_first else "ntchw"
    sections = PICTURE.format(side=side, mean=[0.45] * 3, std=[0.225] * 3)
    sections += f'\n[model.clip]\nframes = {frames}\nlayout = "{layout}"\n'
    return Made(
        name, "clip-embedding", ClipVector(network, channels_first), {"clip": (torch.zeros(shape), {0: "batch"})},
        ("vector", {0: "batch"}), config.hidden_size, sections, "CC-BY-NC-4.0",
        "TimeSformer (Bertasius, Wang, Torresani, 2021), trained on Kinetics-600: not for commercial use.",
    )


def _stretch_time(network, frames, mode):
    """Stretches the time embeddings to `frames`, as the authors' code does for another number of frames."""
    old = network.embeddings.time_embeddings.data  # [1, 8, 768]
    align = {} if mode == "nearest" else {"align_corners": False}
    new = nn.functional.interpolate(old.transpose(1, 2), size=frames, mode=mode, **align).transpose(1, 2)
    network.embeddings.time_embeddings = nn.Parameter(new.contiguous())
    network.config.num_frames = frames
    for module in network.modules():
        if hasattr(module, "num_frames"):
            module.num_frames = frames
        if hasattr(module, "config"):
            module.config.num_frames = frames


# ---- sound

WAVEFORM = """[model.waveform]
sample_rate_hz = 16000
normalise = "zero-mean-unit-variance"
frame_samples = {frame}
hop_samples = {hop}
chunk_frames = {chunk}
"""


class Features(nn.Module):
    """The convolutional encoder: samples [1, n] to [1, channels, frames], before any LayerNorm."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, samples):
        return self.encoder(samples)


class FeaturesWithMoments(nn.Module):
    """An encoder whose first layer normalises each channel over the whole sound (GroupNorm, one group per channel): mean and
    variance are an input, [1, 2, channels], so that a chunk gives the vectors of the whole sound."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, samples, moments):
        first, *rest = self.encoder.conv_layers
        x = first.conv(samples[:, None])
        norm = first.layer_norm
        mean, variance = moments[:, 0, :, None], moments[:, 1, :, None]
        x = (x - mean) * torch.rsqrt(variance + norm.eps)
        x = first.activation(x * norm.weight[:, None] + norm.bias[:, None])
        for layer in rest:
            x = layer(x)
        return x


class Moments(nn.Module):
    """Mean and variance of each channel of the first convolution: samples [1, n] to [1, 2, channels]."""

    def __init__(self, encoder):
        super().__init__()
        self.convolution = encoder.conv_layers[0].conv

    def forward(self, samples):
        x = self.convolution(samples[:, None])
        mean = x.mean(dim=2)
        variance = (x - mean[:, :, None]).square().mean(dim=2)
        return torch.stack([mean, variance], dim=1)


class Context(nn.Module):
    """The whole network: samples [1, n] and moments to [1, frames, numbers]."""

    def __init__(self, network):
        super().__init__()
        self.features = FeaturesWithMoments(network.feature_extractor)
        self.projection, self.encoder = network.feature_projection, network.encoder

    def forward(self, samples, moments):
        hidden, _ = self.projection(self.features(samples, moments).transpose(1, 2))
        return self.encoder(hidden).last_hidden_state


def _wav2vec2(name, size):
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    whole = name.endswith("-context")
    by_layer = name == "wav2vec2-layer-norm"
    if size is None:
        release = "facebook/wav2vec2-large-lv60" if by_layer else "facebook/wav2vec2-base"
        network = Wav2Vec2Model.from_pretrained(release, attn_implementation="eager")
    else:
        tiny = {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
        }
        config = Wav2Vec2Config(
            **(tiny if size == "tiny" else {}), attn_implementation="eager",
            feat_extract_norm="layer" if by_layer else "group", conv_bias=by_layer,
        )
        network = Wav2Vec2Model(config)
    if tuple(network.config.conv_kernel) != KERNELS or tuple(network.config.conv_stride) != STRIDES:
        raise ExportError(f"{name} has other convolutions than wav2vec 2.0's: its frames would be mistaken")
    convolution = network.encoder.pos_conv_embed.conv
    if nn.utils.parametrize.is_parametrized(convolution):
        nn.utils.parametrize.remove_parametrizations(convolution, "weight")
    channels = network.config.conv_dim[-1]
    encoder = network.feature_extractor
    samples = {"samples": (torch.zeros(1, 16_000), {0: "batch", 1: "samples"})}
    moments = {"moments": (torch.ones(1, 2, network.config.conv_dim[0]), {0: "batch"})}
    frame, hop, chunk = FRAME_SAMPLES, HOP_SAMPLES, 1_000
    output, dimension = ("features", {0: "batch", 2: "frames"}), channels
    role, more = "audio-embedding", f'moments = "{{prefix}}wav2vec2-base-moments"\n'
    if name == "wav2vec2-base-moments":
        # Frames of the first convolution: 40 MB of them at 512 channels.
        role, part, inputs, more = "audio-moments", Moments(encoder), samples, ""
        frame, hop, chunk, output, dimension = KERNELS[0], STRIDES[0], 20_000, ("moments", {0: "batch"}), None
    elif by_layer:
        part, inputs, more = Features(encoder), samples, ""
    elif whole:
        # A vector sees the whole sound through attention: 2 s at the edges of each chunk of 20 s are not used.
        part, inputs, more = Context(network), samples | moments, more + "margin_frames = 100\n"
        output, dimension = ("context", {0: "batch", 1: "frames"}), network.config.hidden_size
    else:
        part, inputs = FeaturesWithMoments(encoder), samples | moments
    prefix = "" if size is None else f"seeded-{size}-"
    return Made(
        name, role, part, inputs, output, dimension,
        WAVEFORM.format(frame=frame, hop=hop, chunk=chunk) + more.format(prefix=prefix), "Apache-2.0",
        "wav2vec 2.0 (Baevski and others, 2020), trained on LibriSpeech.", extra={"network": network},
    )
