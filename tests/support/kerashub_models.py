"""Models that KerasHub's own tests build, with random weights and without a download.

One entry a model: the class, the arguments of the test that builds it (keras_hub/src/models/, the
files ``*_test.py``), and how long the dimensions are that it leaves open. Tasks stand without their
preprocessors, which need files.
"""

import sys
from itertools import repeat
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
from models import application, without_weights


class Part(NamedTuple):
    """A model or layer that is an argument of another: its class's name and its arguments."""

    kind: str
    args: tuple = ()
    kwargs: Any = MappingProxyType({})


class Entry(NamedTuple):
    """A model: what it is built from, and the length of the dimensions that it leaves open."""

    model: Part
    open: int | dict[str, Any] = 5


def _text(**kwargs):
    return {"vocabulary_size": 10, "num_layers": 2, "num_heads": 2, "hidden_dim": 2,
            "intermediate_dim": 4, "max_sequence_length": 5, **kwargs}


def _decoder(**kwargs):
    return {"vocabulary_size": 10, "num_layers": 2, "num_query_heads": 4,
            "num_key_value_heads": 2, "hidden_dim": 8, "intermediate_dim": 8, **kwargs}


def _without(kwargs, *names):
    return {name: value for name, value in kwargs.items() if name not in names}


RESNET = {
    "input_conv_filters": [64], "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64, 64], "stackwise_num_blocks": [2, 2, 2],
    "stackwise_num_strides": [1, 2, 2], "image_shape": (None, None, 3),
    "block_type": "bottleneck_block", "use_pre_activation": False}
RESNET_18 = {
    "input_conv_filters": [64], "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128, 256, 512], "stackwise_num_blocks": [2, 2, 2, 2],
    "stackwise_num_strides": [1, 2, 2, 2], "block_type": "basic_block"}
RESNET_VD = {"input_conv_filters": [32, 32, 64], "input_conv_kernel_sizes": [3, 3, 3]}
HGNET = {
    "embedding_size": 32, "stem_channels": [3, 16, 32], "hidden_act": "relu",
    "use_learnable_affine_block": False, "num_channels": 3, "image_shape": (64, 64, 3),
    "depths": [1, 1], "hidden_sizes": [64, 128],
    "stackwise_stage_filters": [[32, 16, 64, 1, 1, 3], [64, 32, 128, 1, 1, 3]],
    "apply_downsample": [False, True], "use_lightweight_conv_block": [False, False],
    "out_features": ["stem", "stage1", "stage2"]}
GEMMA = {
    "vocabulary_size": 20, "num_layers": 2, "num_query_heads": 4, "num_key_value_heads": 1,
    "hidden_dim": 16, "intermediate_dim": 32, "head_dim": 4, "layer_norm_epsilon": 1e-6}
GEMMA_3 = {
    "vocabulary_size": 256, "image_size": 16, "num_layers": 6, "num_query_heads": 2,
    "num_key_value_heads": 1, "hidden_dim": 8, "intermediate_dim": 16, "head_dim": 4,
    "query_head_dim_normalize": True, "use_query_key_norm": True, "use_post_ffw_norm": True,
    "use_post_attention_norm": True, "final_logit_soft_cap": None,
    "attention_logit_soft_cap": None, "use_sliding_window_attention": True,
    "sliding_window_size": 1024}
EXPERTS = {
    "vocabulary_size": 20, "num_layers": 2, "num_query_heads": 4, "num_key_value_heads": 2,
    "hidden_dim": 16, "intermediate_dim": 32, "moe_intermediate_dim": 16, "num_experts": 4,
    "top_k": 2, "norm_top_k_prob": True, "decoder_sparse_step": 1, "layer_norm_epsilon": 1e-6,
    "rope_max_wavelength": 10000, "rope_scaling_factor": 1.0, "dropout": 0.0,
    "sliding_window_size": 4096, "router_aux_loss_coefficient": 0.01,
    "tie_word_embeddings": False, "mlp_only_layers": [], "dtype": "float32"}
LINEAR = {
    "vocabulary_size": 10, "num_layers": 4, "num_query_heads": 4, "num_key_value_heads": 2,
    "hidden_dim": 16, "layer_types": [*["linear_attention"] * 3, "full_attention"],
    "partial_rotary_factor": 0.25, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 4, "linear_value_head_dim": 4, "linear_conv_kernel_dim": 4}
DINO = {
    "patch_size": 14, "num_layers": 2, "hidden_dim": 32, "num_heads": 2,
    "layer_scale_init_value": 1.0, "intermediate_dim": 128,
    "num_register_tokens": 0,
    "use_swiglu_ffn": False, "image_shape": (224, 224, 3)}
MIT = {
    "layerwise_depths": [2, 2], "image_shape": (32, 32, 3), "hidden_dims": [4, 8],
    "num_layers": 2, "layerwise_num_heads": [1, 2], "layerwise_sr_ratios": [8, 4],
    "max_drop_path_rate": 0.1, "layerwise_patch_sizes": [7, 3], "layerwise_strides": [4, 2]}
T5_GEMMA = {
    "vocabulary_size": 100, "encoder_hidden_dim": 32, "encoder_intermediate_dim": 64,
    "encoder_num_layers": 2, "encoder_num_attention_heads": 4, "encoder_num_key_value_heads": 2,
    "encoder_head_dim": 8, "encoder_layer_types": ["sliding_attention", "full_attention"],
    "decoder_hidden_dim": 32, "decoder_intermediate_dim": 64, "decoder_num_layers": 2,
    "decoder_num_attention_heads": 4, "decoder_num_key_value_heads": 2, "decoder_head_dim": 8,
    "decoder_layer_types": ["sliding_attention", "full_attention"], "dropout_rate": 0.1,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "query_pre_attn_scalar": 1.0,
    "attention_bias": False, "hidden_activation": "gelu_approximate", "sliding_window": 16,
    "cross_attention_hidden_size": 32, "attn_logit_softcapping": 50.0,
    "rope_max_wavelength": 10000.0, "initializer_range": 0.04, "attention_dropout": 0.1}
T5_GEMMA_ASYMMETRICAL = {
    "vocabulary_size": 100, "encoder_hidden_dim": 48, "encoder_intermediate_dim": 96,
    "encoder_num_layers": 3, "encoder_num_attention_heads": 6, "encoder_num_key_value_heads": 3,
    "encoder_head_dim": 8, "encoder_layer_types": ["full_attention"] * 3,
    "decoder_hidden_dim": 32, "decoder_intermediate_dim": 64, "decoder_num_layers": 2,
    "decoder_num_attention_heads": 4, "decoder_num_key_value_heads": 2, "decoder_head_dim": 8,
    "decoder_layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16,
    "dropout_rate": 0.1, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
    "cross_attention_hidden_size": 48}
VIDEO = {
    "image_shape": (28, 28, 3), "num_frames": 4, "patch_size": 4, "hidden_dim": 16,
    "intermediate_dim": 32, "num_heads": 2, "num_spatial_layers": 1, "num_temporal_layers": 1,
    "num_auxiliary_layers": 1, "vocabulary_size": 0, "num_text_layers": 0}
MOONSHINE = {
    "vocabulary_size": 10, "filter_dim": 64, "encoder_num_layers": 2, "decoder_num_layers": 2,
    "hidden_dim": 64, "intermediate_dim": 128, "encoder_num_heads": 8, "decoder_num_heads": 8}
DFINE = {
    "decoder_in_channels": [128, 128], "encoder_hidden_dim": 128, "num_denoising": 100,
    "num_labels": 80, "hidden_dim": 128, "learn_initial_query": False, "num_queries": 300,
    "anchor_image_size": (256, 256), "feat_strides": [16, 32], "num_feature_levels": 2,
    "encoder_in_channels": [512, 1024], "encode_proj_layers": [1], "num_attention_heads": 8,
    "encoder_ffn_dim": 512, "num_encoder_layers": 1, "hidden_expansion": 0.34,
    "depth_multiplier": 0.5, "eval_idx": -1, "num_decoder_layers": 3,
    "decoder_attention_heads": 8, "decoder_ffn_dim": 512,
    "decoder_n_points": [6, 6], "lqe_hidden_dim": 64, "num_lqe_layers": 2,
    "out_features": ["stage3", "stage4"], "image_shape": (None, None, 3),
    "data_format": "channels_last", "seed": 0,
    "backbone": Part("HGNetV2Backbone", kwargs={
        "stem_channels": [3, 16, 16],
        "stackwise_stage_filters": [[16, 16, 64, 1, 3, 3], [64, 32, 256, 1, 3, 3],
                                    [256, 64, 512, 2, 3, 5], [512, 128, 1024, 1, 3, 5]],
        "apply_downsample": [False, True, True, True],
        "use_lightweight_conv_block": [False, False, True, True], "depths": [1, 1, 2, 1],
        "hidden_sizes": [64, 256, 512, 1024], "embedding_size": 16,
        "use_learnable_affine_block": True, "hidden_act": "relu", "image_shape": (None, None, 3),
        "out_features": ["stage3", "stage4"], "data_format": "channels_last"})}
DFINE_SMALL = {
    **DFINE, "decoder_in_channels": [16, 16], "encoder_hidden_dim": 16, "num_denoising": 10,
    "num_labels": 4, "hidden_dim": 16, "num_queries": 10, "anchor_image_size": (32, 32),
    "feat_strides": [4, 8], "encoder_in_channels": [16, 32], "num_attention_heads": 2,
    "encoder_ffn_dim": 32, "hidden_expansion": 0.5, "num_decoder_layers": 1,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "decoder_method": "default",
    "decoder_n_points": [2, 2], "lqe_hidden_dim": 16, "num_lqe_layers": 1,
    "out_features": ["stage1", "stage2"], "backbone": Part("HGNetV2Backbone", kwargs={
        "stem_channels": [3, 8, 8],
        "stackwise_stage_filters": [[8, 8, 16, 1, 1, 3], [16, 8, 32, 1, 1, 3]],
        "apply_downsample": [False, True], "use_lightweight_conv_block": [False, False],
        "depths": [1, 1], "hidden_sizes": [16, 32], "embedding_size": 8,
        "use_learnable_affine_block": True, "hidden_act": "relu", "image_shape": (None, None, 3),
        "out_features": ["stage1", "stage2"], "data_format": "channels_last"})}
EFFICIENTNET_V1 = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    "stackwise_squeeze_and_excite_ratios": [0.25] * 7, "stackwise_force_input_filters": [0] * 7,
    "stackwise_nores_option": [False] * 7, "width_coefficient": 1.0, "depth_coefficient": 1.0,
    "stackwise_block_types": ["v1"] * 7, "min_depth": None, "include_stem_padding": True,
    "use_depth_divisor_as_min_depth": True, "cap_round_filter_decrease": True,
    "stem_conv_padding": "valid", "batch_norm_momentum": 0.99}
EFFICIENTNET_V2 = {
    "stackwise_kernel_sizes": [3] * 6, "stackwise_num_repeats": [2, 4, 4, 6, 9, 15],
    "stackwise_input_filters": [24, 24, 48, 64, 128, 160],
    "stackwise_output_filters": [24, 48, 64, 128, 160, 256],
    "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
    "stackwise_squeeze_and_excite_ratios": [0.0, 0.0, 0, 0.25, 0.25, 0.25],
    "stackwise_strides": [1, 2, 2, 2, 1, 2],
    "stackwise_block_types": ["fused"] * 3 + ["unfused"] * 3,
    "stackwise_force_input_filters": [0] * 6, "stackwise_nores_option": [False] * 6,
    "width_coefficient": 1.0, "depth_coefficient": 1.0}
BLIP_QFORMER = {
    "num_query_tokens": 32, "num_layers": 4, "num_heads": 4, "hidden_dim": 64,
    "intermediate_dim": 128, "vision_dim": 128, "cross_attention_frequency": 2, "dropout": 0.0,
    "layer_norm_epsilon": 1e-12}
VAE = ([32] * 4, [1] * 4, [32] * 4, [1] * 4)


def _clip(prefix, text=()):
    return {"vision_encoder": Part(f"{prefix}VisionEncoder", (16, 64, 2, 2, 128),
                                   {"name": "vision_encoder"}),
            "text_encoder": Part(f"{prefix}TextEncoder", (64, 64, 64, 2, 2, 128),
                                 {"name": "text_encoder", **dict(text)})}


def _clip_l():
    return Part("CLIPTextEncoder", (20, 32, 32, 2, 2, 64, "quick_gelu", -2), {"name": "clip_l"})


#: Name -> backbone.
BACKBONES = {
    name: Entry(Part(given.get("kind", name), (), given["kwargs"]), given.get("open", 5))
    for name, given in {
        "AlbertBackbone": {"kwargs": _text(num_groups=1, num_inner_repetitions=1,
                                           embedding_dim=16)},
        "BartBackbone": {"kwargs": _text(), "open": {"encoder": 3, "decoder": 5}},
        "BertBackbone": {"kwargs": _text()},
        "BertBackbone with DoRA": {"kind": "BertBackbone", "kwargs": _text(
            enable_dora=True, dora_rank=4, dora_alpha=8.0)},
        "BLIP2QFormer": {"kwargs": BLIP_QFORMER},
        "BLIP2QFormer, crossing everywhere": {"kind": "BLIP2QFormer", "kwargs": {
            **BLIP_QFORMER, "cross_attention_frequency": 1}},
        "BLIP2Backbone": {"kwargs": {
            "vision_encoder": Part("BLIP2VisionEncoder", (), {
                "image_size": 32, "patch_size": 4, "num_layers": 2, "num_heads": 2,
                "hidden_dim": 8, "intermediate_dim": 16, "use_patch_bias": True,
                "use_class_token": True, "use_mha_bias": True, "use_mlp_bias": True,
                "dropout_rate": 0.0, "layer_norm_epsilon": 1e-6, "initializer_range": 0.02,
                "dtype": "float32"}),
            "qformer": Part("BLIP2QFormer", (), {
                **BLIP_QFORMER, "num_query_tokens": 2, "num_layers": 2, "num_heads": 2,
                "hidden_dim": 4, "intermediate_dim": 8, "vision_dim": 8,
                "cross_attention_frequency": 1, "layer_norm_epsilon": 1e-6, "dtype": "float32"}),
            "language_model": Part("BLIP2CustomOPT", (), {
                "vocabulary_size": 14, "num_layers": 2, "num_heads": 2, "hidden_dim": 4,
                "intermediate_dim": 8, "num_query_tokens": 2, "qformer_hidden_dim": 4,
                "max_sequence_length": 10, "dropout": 0.0, "language_projection": None,
                "dtype": "float32"})}},
        "BloomBackbone": {"kwargs": {"vocabulary_size": 10, "num_layers": 2, "num_heads": 4,
                                     "hidden_dim": 8, "intermediate_dim": 32}},
        "CLIPBackbone": {"kwargs": {**_clip("CLIP"), "projection_dim": 64}, "open": 77},
        "CSPNetBackbone": {"open": 64, "kwargs": {
            "stem_filters": 32, "stem_kernel_size": 3, "stem_strides": 1, "stackwise_strides": 2,
            "stackwise_depth": [1, 2, 8], "stackwise_num_filters": [16, 24, 48],
            "image_shape": (None, None, 3), "down_growth": True, "bottle_ratio": (0.5, 1.0),
            "block_ratio": (1.0, 0.5), "expand_ratio": (2.0, 1.0), "block_type": "dark_block",
            "stage_type": "csp", "stem_padding": "same"}},
        "DebertaV3Backbone": {"kwargs": _text()},
        "DeepLabV3Backbone": {"kwargs": {
            "image_encoder": Part("ResNetBackbone", (), {
                **_without(RESNET, "image_shape"), "block_type": "basic_block"}),
            "low_level_feature_key": "P2", "spatial_pyramid_pooling_key": "P4",
            "dilation_rates": [6, 12, 18], "upsampling_size": 4, "image_shape": (96, 96, 3)}},
        "DeiTBackbone": {"kwargs": {
            "image_shape": (28, 28, 3), "patch_size": 4, "num_layers": 3, "hidden_dim": 48,
            "num_heads": 6, "intermediate_dim": 192, "use_mha_bias": True}},
        "DenseNetBackbone": {"kwargs": {
            "stackwise_num_repeats": [2, 4, 6, 4], "compression_ratio": 0.5, "growth_rate": 2,
            "image_shape": (32, 32, 3)}},
        "DepthAnythingBackbone": {"kwargs": {
            "image_encoder": Part("DINOV2Backbone", (14, 4, 16, 2, 64, 1.0, 0), {
                "image_shape": (126, 126, 3), "apply_layernorm": True, "name": "image_encoder"}),
            "reassemble_factors": [4, 2, 1, 0.5], "neck_hidden_dims": [16, 32, 64, 128],
            "fusion_hidden_dim": 128, "head_hidden_dim": 16, "head_in_index": -1,
            "feature_keys": ["stage1", "stage2", "stage3", "stage4"]}},
        "DFineBackbone": {"kwargs": DFINE, "open": 256},
        "DFineBackbone, its first": {"kind": "DFineBackbone", "open": 256,
                                     "kwargs": {**DFINE, "eval_idx": 0}},
        "DFineBackbone, its second": {"kind": "DFineBackbone", "open": 256,
                                      "kwargs": {**DFINE, "eval_idx": 1}},
        "DINOV2Backbone": {"kwargs": DINO},
        "DINOV2Backbone with registers": {"kind": "DINOV2Backbone", "kwargs": {
            **DINO, "num_register_tokens": 4, "use_swiglu_ffn": True}},
        "DINOV3Backbone": {"kwargs": {
            "patch_size": 16, "num_layers": 2, "hidden_dim": 16, "num_heads": 2,
            "intermediate_dim": 64, "layer_scale_init_value": 1.0, "num_register_tokens": 4,
            "use_gated_mlp": False, "image_shape": (64, 64, 3), "name": "dinov3_backbone"}},
        "DistilBertBackbone": {"kwargs": _text()},
        "EdRecBackbone": {"kwargs": {
            "vocab_size": 10, "num_layers_enc": 2, "num_layers_dec": 2, "num_heads": 2,
            "hidden_dim": 4, "intermediate_dim": 8, "dropout": 0.0}},
        "EfficientNetBackbone": {"kwargs": EFFICIENTNET_V2, "open": 224},
        "EfficientNetBackbone, version 1": {"kind": "EfficientNetBackbone", "open": 224,
                                            "kwargs": EFFICIENTNET_V1},
        "ElectraBackbone": {"kwargs": {**_without(_text(), "vocabulary_size"), "vocab_size": 10,
                                       "embedding_dim": 2}},
        "ESMBackbone": {"kwargs": _without(_text(num_heads=1), "max_sequence_length")},
        "FNetBackbone": {"kwargs": _without(_text(), "num_heads")},
        "FalconBackbone": {"kwargs": {
            "vocabulary_size": 10, "num_layers": 2, "num_attention_heads": 8, "hidden_dim": 16,
            "num_kv_heads": 1, "intermediate_dim": 32}},
        "FluxBackbone": {"kwargs": {
            "input_channels": 256, "hidden_size": 1024, "mlp_ratio": 2.0, "num_heads": 8,
            "depth": 4, "depth_single_blocks": 8, "axes_dim": [16, 56, 56], "theta": 10_000,
            "use_bias": True, "guidance_embed": True, "image_shape": (32, 256),
            "text_shape": (32, 256), "image_ids_shape": (32, 3), "text_ids_shape": (32, 3),
            "y_shape": (256,)}},
        "GemmaBackbone": {"kwargs": GEMMA},
        "GemmaBackbone, version 2": {"kind": "GemmaBackbone", "open": 10, "kwargs": {
            **GEMMA, "num_key_value_heads": 2, "sliding_window_size": 5,
            "attention_logit_soft_cap": 50, "final_logit_soft_cap": 30,
            "query_head_dim_normalize": False, "use_post_ffw_norm": True,
            "use_post_attention_norm": True, "use_sliding_window_attention": True}},
        "Gemma3Backbone": {"kwargs": GEMMA_3, "open": 64},
        "Gemma3nBackbone": {"open": 16, "kwargs": {
            "text_vocab_size": 50, "text_hidden_size": 8, "num_hidden_layers": 1,
            "pad_token_id": 0, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8,
            "intermediate_size": [16], "hidden_activation": "gelu_approximate",
            "layer_types": ["full_attention"], "sliding_window": 4, "rope_theta": 10000.0,
            "max_position_embeddings": 16, "vocab_size_per_layer_input": 50,
            "hidden_size_per_layer_input": 2, "altup_num_inputs": 2, "laurel_rank": 1}},
        "GPT2Backbone": {"kwargs": _text()},
        "GPTNeoXBackbone": {"kwargs": _text()},
        "GptOssBackbone": {"kwargs": _decoder(
            num_query_heads=8, num_key_value_heads=4, hidden_dim=16, num_experts=2, top_k=2,
            sliding_window=2)},
        "HGNetV2Backbone": {"kwargs": HGNET},
        "HGNetV2Backbone, early downsample": {"kind": "HGNetV2Backbone", "kwargs": {
            **HGNET, "apply_downsample": [True, True],
            "use_lightweight_conv_block": [True, True]}},
        "HGNetV2Backbone, one stage": {"kind": "HGNetV2Backbone", "kwargs": {
            **HGNET, "depths": [1], "hidden_sizes": [64],
            "stackwise_stage_filters": HGNET["stackwise_stage_filters"][:1],
            "apply_downsample": [False], "use_lightweight_conv_block": [False],
            "out_features": ["stem", "stage1"]}},
        "HGNetV2Backbone, no downsample": {"kind": "HGNetV2Backbone", "kwargs": {
            **HGNET, "apply_downsample": [False, False]}},
        "LlamaBackbone": {"kwargs": _decoder()},
        "LlamaBackbone, tied": {"kind": "LlamaBackbone",
                                "kwargs": _decoder(tie_word_embeddings=True)},
        "Llama3Backbone": {"kwargs": _decoder()},
        "MetaCLIP2Backbone": {"kwargs": {**_clip("MetaCLIP2"), "projection_dim": 64}, "open": 77},
        "MistralBackbone": {"kwargs": _decoder(
            num_query_heads=8, num_key_value_heads=4, hidden_dim=16, sliding_window=2)},
        "MiTBackbone": {"kwargs": MIT},
        "MixtralBackbone": {"kwargs": _decoder(
            num_query_heads=8, num_key_value_heads=4, hidden_dim=16, num_experts=2, top_k=2,
            sliding_window=2)},
        "MixtralBackbone with logits": {"kind": "MixtralBackbone", "kwargs": _decoder(
            num_query_heads=8, num_key_value_heads=4, hidden_dim=16, num_experts=2, top_k=2,
            sliding_window=2, output_router_logits=True)},
        "MobileNetBackbone": {"kwargs": {
            "stackwise_expansion": [[40, 56], [64, 144, 144], [72, 72], [144, 288, 288]],
            "stackwise_num_blocks": [2, 3, 2, 3],
            "stackwise_num_filters": [[16, 16], [24, 24, 24], [24, 24], [48, 48, 48]],
            "stackwise_kernel_size": [[3, 3], [5, 5, 5], [5, 5], [5, 5, 5]],
            "stackwise_num_strides": [[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
            "stackwise_se_ratio": [[None, None], [0.25] * 3, [0.25] * 2, [0.25] * 3],
            "stackwise_activation": [["relu"] * 2, *[["hard_swish"] * n for n in (3, 2, 3)]],
            "stackwise_padding": [[1, 1], [2, 2, 2], [2, 2], [2, 2, 2]],
            "output_num_filters": 1024, "input_activation": "hard_swish",
            "output_activation": "hard_swish", "input_num_filters": 16,
            "image_shape": (32, 32, 3), "depthwise_filters": 8, "depthwise_stride": 2,
            "depthwise_residual": False, "squeeze_and_excite": 0.5, "last_layer_filter": 288}},
        "MobileNetV5Backbone": {"kwargs": {
            "stackwise_block_types": [["er"], ["uir", "uir"]], "stackwise_num_blocks": [1, 2],
            "stackwise_num_filters": [[24], [48, 48]], "stackwise_strides": [[2], [2, 1]],
            "stackwise_act_layers": [["relu"], ["relu", "relu"]],
            "stackwise_exp_ratios": [[4.0], [6.0, 6.0]],
            "stackwise_se_ratios": [[0.0], [0.0, 0.0]],
            "stackwise_dw_kernel_sizes": [[0], [5, 5]],
            "stackwise_dw_start_kernel_sizes": [[0], [0, 0]],
            "stackwise_dw_end_kernel_sizes": [[0], [0, 0]],
            "stackwise_exp_kernel_sizes": [[3], [0, 0]],
            "stackwise_pw_kernel_sizes": [[1], [0, 0]], "stackwise_num_heads": [[0], [0, 0]],
            "stackwise_key_dims": [[0], [0, 0]], "stackwise_value_dims": [[0], [0, 0]],
            "stackwise_kv_strides": [[0], [0, 0]], "stackwise_use_cpe": [[False], [False, False]],
            "image_shape": (32, 32, 3), "stem_size": 16, "use_msfa": False}},
        "MoonshineBackbone": {"kwargs": MOONSHINE, "open": {"encoder": 2000}},
        "MoonshineBackbone, gated": {
            "kind": "MoonshineBackbone", "open": {"encoder": 2000},
            "kwargs": {**MOONSHINE, "encoder_use_swiglu_activation": True}},
        "OPTBackbone": {"kwargs": _text()},
        "PaliGemmaBackbone": {"open": 64, "kwargs": {
            "vocabulary_size": 256, "image_size": 16, "num_layers": 2, "num_query_heads": 2,
            "num_key_value_heads": 1, "hidden_dim": 8, "intermediate_dim": 16, "head_dim": 4,
            "vit_patch_size": 4, "vit_num_layers": 2, "vit_num_heads": 2, "vit_hidden_dim": 8,
            "vit_intermediate_dim": 16}},
        "PARSeqBackbone": {"open": 25, "kwargs": {
            "image_encoder": Part("ViTBackbone", (), {
                "image_shape": (32, 128, 3), "patch_size": (4, 8), "num_layers": 2,
                "num_heads": 2, "hidden_dim": 64, "mlp_dim": 256, "use_class_token": False,
                "name": "image_encoder"}),
            "vocabulary_size": 97, "max_label_length": 25, "decoder_hidden_dim": 64,
            "num_decoder_layers": 1, "num_decoder_heads": 2, "decoder_mlp_dim": 256,
            "dropout_rate": 0.0, "attention_dropout": 0.0}},
        "Phi3Backbone": {"kwargs": _decoder()},
        "Phi3Backbone with su": {"kind": "Phi3Backbone", "kwargs": _decoder(
            num_query_heads=2, num_key_value_heads=1, intermediate_dim=12, max_sequence_length=10,
            pretraining_sequence_length=5, rope_scaling_type="su",
            rope_scaling_short_factor=[1.2, 1.4], rope_scaling_long_factor=[0.8, 0.6])},
        "QwenBackbone": {"kwargs": _decoder(intermediate_dim=16, tie_word_embeddings=False)},
        "Qwen3Backbone": {"kwargs": _decoder(head_dim=2)},
        "Qwen3_5Backbone": {"kwargs": {**LINEAR, "head_dim": 8, "intermediate_dim": 32}},
        "Qwen3_5MoeBackbone": {"kwargs": {
            **LINEAR, "head_dim": 8, "moe_intermediate_dim": 8,
            "shared_expert_intermediate_size": 8, "num_experts": 4, "top_k": 2,
            "router_aux_loss_coefficient": 0.01, "dtype": "float32"}},
        "Qwen3MoeBackbone": {"kwargs": {**EXPERTS, "head_dim": 2}, "open": 7},
        "QwenMoeBackbone": {"open": 7, "kwargs": {
            **EXPERTS, "shared_expert_intermediate_dim": 32,
            "use_sliding_window_attention": False, "output_router_logits": False}},
        **{f"ResNetBackbone{label}": {"kind": "ResNetBackbone", "open": 64, "kwargs": {
            **RESNET, **changed}} for label, changed in {
                "": {}, ", basic": {"block_type": "basic_block"},
                ", version 2": {"use_pre_activation": True},
                ", version 2, basic": {"block_type": "basic_block", "use_pre_activation": True},
                ", vd": {**RESNET_VD, "block_type": "bottleneck_block_vd"},
                ", vd, basic": {**RESNET_VD, "block_type": "basic_block_vd"}}.items()},
        "RetinaNetBackbone": {"open": 256, "kwargs": {
            "min_level": 3, "max_level": 7, "use_p5": False,
            "image_encoder": Part("ResNetBackbone", (), {
                **RESNET_18, "stackwise_num_blocks": [3, 4, 6, 3],
                "block_type": "bottleneck_block", "use_pre_activation": False})}},
        "RobertaBackbone": {"kwargs": _text()},
        "RoformerV2Backbone": {"kwargs": _without(_text(num_heads=1, head_size=2),
                                                  "max_sequence_length")},
        "RWKV7Backbone": {"open": 16, "kwargs": {
            "vocabulary_size": 10, "hidden_size": 16, "num_layers": 2, "head_size": 4,
            "intermediate_dim": 32, "gate_lora": 32, "mv_lora": 16, "aaa_lora": 16,
            "decay_lora": 16}},
        # as KerasHub's test of the task; that of the backbone leaves a projection no units, which
        # Keras 3.15 refuses
        "SAMBackbone": {"open": {"points": 1, "labels": 1, "boxes": 1, "masks": (1, 32, 32)},
                        "kwargs": {
            "image_encoder": Part("ViTDetBackbone", (), {
                "hidden_size": 16, "num_layers": 16, "intermediate_dim": 64, "num_heads": 16,
                "global_attention_layer_indices": [2, 5, 8, 11], "patch_size": 16,
                "num_output_channels": 32, "window_size": 2, "image_shape": (128, 128, 3)}),
            "prompt_encoder": Part("SAMPromptEncoder", (), {
                "hidden_size": 32, "image_embedding_size": (8, 8), "input_image_size": (128, 128),
                "mask_in_channels": 16}),
            "mask_decoder": Part("SAMMaskDecoder", (), {
                "num_layers": 2, "hidden_size": 32, "intermediate_dim": 32, "num_heads": 8,
                "embedding_dim": 32, "num_multimask_outputs": 3, "iou_head_depth": 3,
                "iou_head_hidden_dim": 8})}},
        "SegFormerBackbone": {"kwargs": {"projection_filters": 256,
                                         "image_encoder": Part("MiTBackbone", (), MIT)}},
        "SigLIPBackbone": {"kwargs": _clip("SigLIP"), "open": 64},
        "SigLIPBackbone, version 2": {"kind": "SigLIPBackbone", "open": 64, "kwargs": {
            "vision_encoder": Part("SigLIPVisionEncoder", (16, 128, 2, 2, 128),
                                   {"name": "vision_encoder"}),
            "text_encoder": Part("SigLIPTextEncoder", (64, 64, 64, 2, 2, 128),
                                 {"projection_dim": 128, "name": "text_encoder"})}},
        "SmolLM3Backbone": {"kwargs": {
            "vocabulary_size": 100, "hidden_dim": 64, "intermediate_dim": 128, "num_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": False,
            "attention_dropout": 0.0, "rope_layer_enabled_list": [True, True],
            "layer_types": ["attention", "attention"], "mlp_bias": False,
            "layer_norm_epsilon": 1e-5, "max_position_embeddings": 128, "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0}},
        "StableDiffusion3Backbone": {"kwargs": {
            "mmdit_patch_size": 2, "mmdit_hidden_dim": 32, "mmdit_num_layers": 2,
            "mmdit_num_heads": 2, "mmdit_position_size": 192, "mmdit_qk_norm": None,
            "mmdit_dual_attention_indices": None, "height": 64, "width": 64,
            "vae": Part("VAEBackbone", VAE, {"sampler_method": "mode", "name": "vae"}),
            "clip_l": _clip_l(),
            "clip_g": Part("CLIPTextEncoder", (20, 64, 64, 2, 2, 128, "gelu", -2),
                           {"name": "clip_g"})}},
        "SwinTransformerBackbone": {"kwargs": {
            "image_shape": (32, 32, 3), "embed_dim": 32, "depths": (2, 2), "num_heads": (2, 4),
            "window_size": 4}},
        "T5Backbone": {"kwargs": _without(_text(), "max_sequence_length"), "open": 3},
        "T5GemmaBackbone": {"kwargs": T5_GEMMA, "open": 16},
        "T5GemmaBackbone, asymmetrical": {"kind": "T5GemmaBackbone", "open": 16,
                                          "kwargs": T5_GEMMA_ASYMMETRICAL},
        "VAEBackbone": {"open": 64, "kwargs": {
            "encoder_num_filters": [32] * 4, "encoder_num_blocks": [1] * 4,
            "decoder_num_filters": [32] * 4, "decoder_num_blocks": [1] * 4,
            "sampler_method": "mode"}},
        "VGGBackbone": {"kwargs": {
            "stackwise_num_repeats": [2, 3, 3], "stackwise_num_filters": [8, 64, 64],
            "image_shape": (16, 16, 3), "include_rescaling": False, "pooling": "avg"}},
        "VideoPrismBackbone": {"kwargs": VIDEO},
        "VideoPrismBackbone with text": {"kind": "VideoPrismBackbone", "open": 12, "kwargs": {
            **VIDEO, "vocabulary_size": 100, "num_text_layers": 1,
            "attention_logit_soft_cap": 50.0}},
        "ViTBackbone": {"kwargs": {
            "image_shape": (28, 28, 3), "patch_size": 4, "num_layers": 3, "hidden_dim": 48,
            "num_heads": 6, "mlp_dim": 192, "use_mha_bias": True}},
        "ViTDetBackbone": {"kwargs": {
            "image_shape": (16, 16, 3), "patch_size": 2, "hidden_size": 4, "num_layers": 2,
            "global_attention_layer_indices": [2, 5, 8, 11], "intermediate_dim": 16,
            "num_heads": 2, "num_output_channels": 2, "window_size": 2}},
        "WhisperBackbone": {"kwargs": {
            **_without(_text(), "max_sequence_length"), "max_encoder_sequence_length": 6,
            "max_decoder_sequence_length": 6}},
        "XceptionBackbone": {"open": 64, "kwargs": {
            "stackwise_conv_filters": [[32, 64], [128, 128], [256, 256]],
            "stackwise_pooling": [False, True, False], "image_shape": (None, None, 3)}},
        "XLMRobertaBackbone": {"kwargs": _text()},
        "XLNetBackbone": {"kwargs": _without(_text(), "max_sequence_length")},
    }.items()}

CLASSES = {"num_classes": 2}
#: Task -> its arguments beside its backbone, which is the one that its name starts with.
TASKS = {
    **dict.fromkeys([
        "AlbertMaskedLM", "BertMaskedLM", "DebertaV3MaskedLM", "DistilBertMaskedLM",
        "ESMMaskedPLM", "FNetMaskedLM", "RobertaMaskedLM", "RoformerV2MaskedLM",
        "XLMRobertaMaskedLM", "BartSeq2SeqLM", "EdRecSeq2SeqLM", "T5Seq2SeqLM",
        "T5GemmaSeq2SeqLM", "BloomCausalLM", "FalconCausalLM", "GemmaCausalLM", "Gemma3CausalLM",
        "Gemma3nCausalLM", "GPT2CausalLM", "GPTNeoXCausalLM", "GptOssCausalLM", "LlamaCausalLM",
        "Llama3CausalLM", "MistralCausalLM", "MixtralCausalLM", "OPTCausalLM",
        "PaliGemmaCausalLM", "Phi3CausalLM", "QwenCausalLM", "Qwen3CausalLM",
        "Qwen3_5CausalLM", "Qwen3_5MoeCausalLM", "Qwen3MoeCausalLM", "QwenMoeCausalLM",
        "RWKV7CausalLM", "SmolLM3CausalLM", "MoonshineAudioToText",
        "BertTextEmbedder", "Gemma3TextEmbedder", "Qwen3TextEmbedder", "XLMRobertaTextEmbedder",
        "SAMImageSegmenter", "StableDiffusion3TextToImage", "StableDiffusion3ImageToImage",
        "StableDiffusion3Inpaint",
    ], {}),
    **dict.fromkeys([
        "AlbertTextClassifier", "BertTextClassifier", "DebertaV3TextClassifier",
        "DistilBertTextClassifier", "ESMProteinClassifier", "FNetTextClassifier",
        "RobertaTextClassifier", "RoformerV2TextClassifier", "XLMRobertaTextClassifier",
        "CSPNetImageClassifier", "DeiTImageClassifier", "DenseNetImageClassifier",
        "EfficientNetImageClassifier", "MiTImageClassifier", "MobileNetImageClassifier",
        "MobileNetV5ImageClassifier", "ResNetImageClassifier", "SwinTransformerImageClassifier",
        "ViTImageClassifier", "XceptionImageClassifier",
        "DeepLabV3ImageSegmenter", "SegFormerImageSegmenter",
    ], CLASSES),
    "VGGImageClassifier": {**CLASSES, "activation": "softmax", "pooling": "flatten"},
    "RetinaNetObjectDetector": {"num_classes": 10},
    "HGNetV2ImageClassifier": {**CLASSES, "head_filters": 128},
    "DepthAnythingDepthEstimator": {"depth_estimation_type": "relative"},
}
MODELS = {
    **BACKBONES,
    **{name: Entry(Part(name, (), {"backbone": backbone.model, "preprocessor": None, **kwargs}),
                   backbone.open)
       for name, kwargs in TASKS.items()
       for backbone in [BACKBONES[max((b for b in BACKBONES if name.startswith(
           b.removesuffix("Backbone"))), key=len)]]},
    "BASNetImageSegmenter": Entry(Part("BASNetImageSegmenter", (), {
        "preprocessor": None, "backbone": Part("BASNetBackbone", (), {
            "num_classes": 1, "image_encoder": Part("ResNetBackbone", (), RESNET_18)})}), 64),
    # the encoders that CLIP and its like are built from
    **{f"{prefix}{part}Encoder": Entry(_clip(prefix)[f"{part.lower()}_encoder"], open)
       for prefix, open in (("CLIP", 77), ("MetaCLIP2", 77), ("SigLIP", 64))
       for part in ("Vision", "Text")},
    "DFineObjectDetector": Entry(Part("DFineObjectDetector", (), {
        "backbone": Part("DFineBackbone", (), DFINE_SMALL), "num_classes": 4,
        "bounding_box_format": "yxyx", "preprocessor": None}), 32),
    "BASNetBackbone": Entry(Part("BASNetBackbone", (), {
        "num_classes": 1, "image_encoder": Part("ResNetBackbone", (), RESNET_18)}), 64),
}


def built(part):
    """Return the model or layer that a part says, with those that are its arguments.

    KerasHub's attention takes a fused operator on some backends; here all run one code.
    """
    import keras_hub
    from keras_hub.src.models.vae.vae_backbone import VAEBackbone

    kind = {"VAEBackbone": VAEBackbone}.get(part.kind) or getattr(
        keras_hub.models, part.kind, None) or getattr(keras_hub.layers, part.kind)

    fused = "fused_attention_op_available"
    for module in [m for name, m in sys.modules.items() if name.startswith("keras_hub.")]:
        if fused in vars(module):
            setattr(module, fused, lambda: False)

    def value(given):
        return built(given) if isinstance(given, Part) else given

    return kind(*map(value, part.args), **{name: value(v) for name, v in part.kwargs.items()})


def build(name):
    """Return a model of keras.applications or of the list, and the structure of its inputs."""
    if hasattr(keras.applications, name):
        sizes = {"input_shape": (224, 224, 3)} if "MobileNetV3" in name else {}
        model, entry = application(name, **sizes), Entry(Part(name))
    else:
        entry = MODELS[name]
        try:
            model = without_weights(lambda: built(entry.model))
        except Exception:  # it computes with its weights as it is built
            model = built(entry.model)
    return model, keras.tree.map_structure(lambda t: _closed(t, entry.open), model.input)


def _closed(tensor, open):
    """Return a symbolic input of one sample whose open dimensions have their lengths."""
    if isinstance(open, dict):
        open = next((n for key, n in open.items() if tensor.name.startswith(key)), 5)
    lengths = iter(open) if isinstance(open, tuple) else repeat(open)
    return keras.KerasTensor((1, *(next(lengths) if d is None else d for d in tensor.shape[1:])),
                             tensor.dtype, name=tensor.name)
