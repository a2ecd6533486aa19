/** A pipeline's `scheduler/scheduler_config.json`: how its noise levels are shifted. */
import { EngineError } from '../errors.ts';
import { fluxShift, type ShiftConfig } from '../sigmas/index.ts';
import { readJson } from '../weights/checkpoint.ts';

/** Defaults of diffusers' FlowMatchEulerDiscreteScheduler. */
const defaults: ShiftConfig = { ...fluxShift, use_dynamic_shifting: false, shift: 1 };

/** Settings that change the levels or the steps in ways that are not computed, and the value that does nothing. */
const neutral: Readonly<Record<string, unknown>> = {
  shift_terminal: null,
  invert_sigmas: false,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  stochastic_sampling: false,
};

/** @throws RetouchError `modelConfigInvalid` for another scheduler, a setting that is not computed, or a value of the wrong type */
export function readShift(file: string): ShiftConfig {
  const config = readJson(file);
  const refuse = (key: string, expected: string): never => {
    throw new EngineError(
      'modelConfigInvalid',
      `${file}: ${key} is ${JSON.stringify(config[key])}, expected ${expected}; take the scheduler of FLUX.1 Kontext [dev]`,
      { path: file, key },
    );
  };
  const { _class_name: name } = config;
  if (name !== undefined && !/^FlowMatch/.test(String(name))) refuse('_class_name', 'a FlowMatch scheduler');
  for (const [key, value] of Object.entries(neutral))
    if ((config[key] ?? value) !== value)
      refuse(key, `${JSON.stringify(value)}, for this build computes nothing else`);
  const shift = { ...defaults };
  for (const key of [
    'shift',
    'base_shift',
    'max_shift',
    'base_image_seq_len',
    'max_image_seq_len',
  ] as const) {
    const found = config[key] ?? defaults[key];
    shift[key] = typeof found === 'number' && Number.isFinite(found) ? found : refuse(key, 'a number');
  }
  const dynamic = config.use_dynamic_shifting ?? defaults.use_dynamic_shifting;
  shift.use_dynamic_shifting =
    typeof dynamic === 'boolean' ? dynamic : refuse('use_dynamic_shifting', 'true or false');
  const type = config.time_shift_type ?? defaults.time_shift_type;
  shift.time_shift_type =
    type === 'exponential' || type === 'linear' ? type : refuse('time_shift_type', 'exponential or linear');
  return shift;
}
