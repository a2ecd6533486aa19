/** Prompts to the transformer's conditioning: T5's tokens and CLIP's pooled vector. */
import { clipFeeds, clipGraph } from '../models/clip.ts';
import { isRecognised } from '../models/instruction-head.ts';
import { t5Feeds, t5Graph } from '../models/t5.ts';
import type { Session } from '../onnx/session.ts';
import { type Feeds, floats, type Tensor } from '../onnx/tensor.ts';
import type { UpdateForms } from '../weights/weights.ts';
import { compile, releaseAll } from './compile.ts';
import type { Components } from './components.ts';
import { checkFinite } from './finite.ts';
import type { Loadable, Loading } from './loadable.ts';
import {
  computeOf,
  networkKey,
  type OpenedModel,
  onceAnImage,
  preparedFile,
  smallerWeights,
  weightBytes,
} from './opened-model.ts';
import { textTokens } from './token-counts.ts';
import { formsText } from './update-forms.ts';

export type EncodedPrompt = {
  /** [T, contextIn] and [1, vecIn]. */
  context: Tensor;
  pooled: Tensor;
  /** T. */
  tokens: number;
  /** T5's tokens of the whole prompt; those beyond `tokens` were cut. */
  found: number;
  /** Whether the prompt asks for anything that the model knows; undefined for a model without an instruction head. */
  recognised: boolean | undefined;
};

/** LoRAs' updates of the encoders. */
export type TextUpdates = { clip: Feeds; t5: Feeds };

type TextComponents = Pick<Components, 'clip' | 't5'>;

/** @param forms of the LoRAs of both encoders */
export function textEncoder(model: OpenedModel, forms: UpdateForms): Loadable<TextEncoder> {
  const { clip, t5 } = model.components;
  return {
    key: networkKey(model, `text encoders${formsText(forms)}`),
    need: {
      bytes: weightBytes(model, clip.source) + weightBytes(model, t5.source),
      working: workingBytes(model.components),
    },
    smaller: smallerWeights(model),
    load: () => load(model, forms),
  };
}

/** Bytes of T5's largest activations alive at once: the gated MLP's, and one layer's attention scores. */
function workingBytes({ t5 }: TextComponents): number {
  const { hidden, heads, mlp } = t5.config;
  const length = textTokens({ t5 });
  return 4 * length * (8 * hidden + 3 * mlp + 3 * heads * length);
}

async function* load(model: OpenedModel, forms: UpdateForms): Loading<TextEncoder> {
  const { clip, t5 } = model.components;
  const options = (component: string) => ({
    ...onceAnImage(model),
    preparedFile: preparedFile(model, component),
  });
  const first = yield* compile({
    name: 'T5',
    source: t5.source,
    graphs: { t5: { build: (compute, prepared) => t5Graph(t5.source, t5.config, compute, prepared) } },
    compute: { ...computeOf(model, 't5'), forms },
    options: options('t5'),
  });
  let second: { clip: Session } | undefined;
  try {
    second = yield* compile({
      name: 'CLIP',
      source: clip.source,
      graphs: {
        clip: { build: (compute, prepared) => clipGraph(clip.source, clip.config, compute, prepared) },
      },
      compute: { ...computeOf(model, 'clip'), forms },
      options: options('clip'),
    });
  } finally {
    if (!second) await releaseAll(first);
  }
  return new TextEncoder(model.components, { ...first, ...second });
}

export class TextEncoder {
  private readonly components: TextComponents;
  private readonly sessions: { clip: Session; t5: Session };

  constructor(components: TextComponents, sessions: { clip: Session; t5: Session }) {
    this.components = components;
    this.sessions = sessions;
  }

  /** @throws RetouchError `outputNotFinite` */
  async encode(prompt: string, updates: TextUpdates): Promise<EncodedPrompt> {
    const { clip, t5 } = this.components;
    const tokens = textTokens(this.components);
    const t5Ids = t5.tokenizer.encode(prompt, tokens);
    const { last_hidden_state } = await this.sessions.t5.run(
      t5Feeds(t5.source, t5.config, t5Ids),
      updates.t5,
    );
    const clipIds = clip.tokenizer.encode(prompt, clip.config.positions);
    const { pooled } = await this.sessions.clip.run(
      clipFeeds(clip.source, clip.config, clipIds),
      updates.clip,
    );
    checkFinite(floats(last_hidden_state!), 'The encoding', `T5 ${t5.source.checkpoint.path}`);
    checkFinite(floats(pooled!), 'The encoding', `CLIP ${clip.source.checkpoint.path}`);
    return {
      context: last_hidden_state!,
      pooled: pooled!,
      tokens,
      found: t5.tokenizer.count(prompt),
      recognised: clip.head && isRecognised(clip.head, floats(pooled!)),
    };
  }

  release(): Promise<void> {
    return releaseAll(this.sessions);
  }
}
