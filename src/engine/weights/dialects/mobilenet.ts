/** The bundled networks' names, those of the TensorFlow graphs they come from. */
import { type Dialect, prefixed } from './index.ts';

export const ssdDialects: readonly Dialect[] = [
  prefixed('face-api', '', 'MobilenetV1.Conv2d_0_pointwise.weights'),
];

export const mobilenetV2Dialects: readonly Dialect[] = [
  prefixed('Keras', '', 'block_1_depthwise.depthwise_kernel'),
];
