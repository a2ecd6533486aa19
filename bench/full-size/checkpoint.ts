/** The files of a model in one of the published forms, with their names. */
import fs from 'node:fs';
import path from 'node:path';
import { autoencoderDiffusers, autoencoderTensors } from './autoencoder.ts';
import { clipTensors, realLayers, t5Fp8, t5Gguf, t5Tensors } from './text-encoders.ts';
import { writeTokenizers } from './tokenizers.ts';
import {
  type Depth,
  realDepth,
  transformerBf16,
  transformerDiffusers,
  transformerFp8,
  transformerGguf,
} from './transformer.ts';
import { Values } from './values.ts';
import { writeGguf } from './write-gguf.ts';
import { writeSafetensors, writeShards } from './write-safetensors.ts';

export const formats = ['fp8-scaled', 'gguf-q4_k_s', 'gguf-q8_0', 'bf16', 'diffusers'] as const;
export const t5Formats = ['fp8', 'gguf-q5_k_m', 'f16'] as const;

export type FullSize = {
  format: (typeof formats)[number];
  /** A diffusers folder has its own in BF16. */
  t5: (typeof t5Formats)[number];
  depth: Depth;
  t5Layers: number;
};

export const real = { depth: realDepth, t5Layers: realLayers };

/** llama.h, enum llama_ftype, as the files' metadata name their mixtures. */
const fileTypes = { Q8_0: 7, Q4_K: 14, Q5_K_M: 17 };
const metadata = { format: 'pt' };

/** Writes every file of the model into `folder` and calls `onFile` before each. */
export function writeFullSize(
  folder: string,
  { format, t5, depth, t5Layers }: FullSize,
  onFile: (name: string) => void = () => {},
): void {
  fs.mkdirSync(folder, { recursive: true });
  const values = new Values(7);
  const at = (name: string) => {
    onFile(name);
    return path.join(folder, name);
  };
  writeTokenizers(folder);
  if (format === 'diffusers') {
    writeDiffusers(folder, { depth, t5Layers, values, onFile });
    return;
  }
  if (format === 'fp8-scaled')
    writeSafetensors(at('flux1-dev-kontext_fp8_scaled.safetensors'), transformerFp8(depth), { values });
  else if (format === 'bf16')
    writeSafetensors(at('flux1-kontext-dev.safetensors'), transformerBf16(depth), { values });
  else {
    const [type, name] = format === 'gguf-q8_0' ? (['Q8_0', 'Q8_0'] as const) : (['Q4_K', 'Q4_K_S'] as const);
    writeGguf(at(`flux1-kontext-dev-${name}.gguf`), transformerGguf(depth, type), {
      metadata: {
        'general.architecture': 'flux',
        'general.quantization_version': 2,
        'general.file_type': fileTypes[type],
      },
      values,
    });
  }
  if (t5 === 'fp8') writeSafetensors(at('t5xxl_fp8_e4m3fn_scaled.safetensors'), t5Fp8(t5Layers), { values });
  else if (t5 === 'f16')
    writeSafetensors(at('t5xxl_fp16.safetensors'), t5Tensors(t5Layers, 'F16', false), { values });
  else
    writeGguf(at('t5-v1_1-xxl-encoder-Q5_K_M.gguf'), t5Gguf(t5Layers), {
      metadata: t5Metadata(t5Layers),
      values,
    });
  writeSafetensors(at('clip_l.safetensors'), clipTensors('F16'), { metadata, values });
  writeSafetensors(at('ae.safetensors'), autoencoderTensors(), { values });
}

function t5Metadata(layers: number): Record<string, string | number> {
  return {
    'general.architecture': 't5encoder',
    't5encoder.context_length': 512,
    't5encoder.embedding_length': 4096,
    't5encoder.feed_forward_length': 10240,
    't5encoder.block_count': layers,
    't5encoder.attention.head_count': 64,
    't5encoder.attention.key_length': 64,
    't5encoder.attention.value_length': 64,
    't5encoder.attention.relative_buckets_count': 32,
    'general.file_type': fileTypes.Q5_K_M,
  };
}

type DiffusersOptions = Pick<FullSize, 'depth' | 't5Layers'> & {
  values: Values;
  onFile: (name: string) => void;
};

function writeDiffusers(folder: string, { depth, t5Layers, values, onFile }: DiffusersOptions): void {
  const component = (name: string, config: object) => {
    onFile(name);
    fs.mkdirSync(path.join(folder, name), { recursive: true });
    const file = name === 'scheduler' ? 'scheduler_config.json' : 'config.json';
    fs.writeFileSync(path.join(folder, name, file), JSON.stringify(config, null, 2));
    return path.join(folder, name);
  };
  fs.writeFileSync(path.join(folder, 'model_index.json'), JSON.stringify(modelIndex, null, 2));
  component('scheduler', schedulerConfig);
  writeShards(component('transformer', transformerConfig(depth)), transformerDiffusers(depth), {
    ...{ stem: 'diffusion_pytorch_model', limit: 9.98e9, values },
  });
  writeShards(component('text_encoder', { model_type: 'clip_text_model' }), clipTensors('BF16'), {
    ...{ stem: 'model', limit: 5e9, values },
  });
  writeShards(component('text_encoder_2', { model_type: 't5' }), t5Tensors(t5Layers, 'BF16', true), {
    ...{ stem: 'model', limit: 5e9, values },
  });
  writeShards(component('vae', autoencoderConfig), autoencoderDiffusers(), {
    ...{ stem: 'diffusion_pytorch_model', limit: 10e9, values },
  });
}

const modelIndex = {
  _class_name: 'FluxKontextPipeline',
  scheduler: ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  text_encoder_2: ['transformers', 'T5EncoderModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  tokenizer_2: ['transformers', 'T5TokenizerFast'],
  transformer: ['diffusers', 'FluxTransformer2DModel'],
  vae: ['diffusers', 'AutoencoderKL'],
};

const schedulerConfig = {
  _class_name: 'FlowMatchEulerDiscreteScheduler',
  base_image_seq_len: 256,
  base_shift: 0.5,
  max_image_seq_len: 4096,
  max_shift: 1.15,
  num_train_timesteps: 1000,
  shift: 3.0,
  use_dynamic_shifting: true,
};

const autoencoderConfig = {
  _class_name: 'AutoencoderKL',
  block_out_channels: [128, 256, 512, 512],
  latent_channels: 16,
  layers_per_block: 2,
  norm_num_groups: 32,
  scaling_factor: 0.3611,
  shift_factor: 0.1159,
};

function transformerConfig({ double, single }: Depth): object {
  return {
    _class_name: 'FluxTransformer2DModel',
    attention_head_dim: 128,
    axes_dims_rope: [16, 56, 56],
    guidance_embeds: true,
    in_channels: 64,
    joint_attention_dim: 4096,
    num_attention_heads: 24,
    num_layers: double,
    num_single_layers: single,
    out_channels: null,
    patch_size: 1,
    pooled_projection_dim: 768,
  };
}
