/** The scheduler names of the wire and what each is in the engine: a sampler and a spacing of sigmas. */

/** Letter by letter as the model page lists them, its `Euler DiscreteScheduler` included. */
const listed = [
  'DDIM',
  'DDIMScheduler',
  'DDPMScheduler',
  'DEISMultistepScheduler',
  'Default',
  'DPM++',
  'DPM++ 2M',
  'DPM++ 2M Beta',
  'DPM++ 2M Exponential',
  'DPM++ 2M Karras',
  'DPM++ 2M SDE',
  'DPM++ 2M SDE Beta',
  'DPM++ 2M SDE Exponential',
  'DPM++ 2M SDE Karras',
  'DPM++ 2M SDE Uniform',
  'DPM++ 2M Uniform',
  'DPM++ 3M',
  'DPM++ 3M Beta',
  'DPM++ 3M Exponential',
  'DPM++ 3M Karras',
  'DPM++ 3M SDE Uniform',
  'DPM++ 3M Uniform',
  'DPM++ Beta',
  'DPM++ Exponential',
  'DPM++ Karras',
  'DPM++ SDE',
  'DPM++ SDE Beta',
  'DPM++ SDE Exponential',
  'DPM++ SDE Karras',
  'DPM++ Uniform',
  'DPM++ Uniform Beta',
  'DPM++ Uniform Exponential',
  'DPM++ Uniform Karras',
  'DPMSolverMultistepInverse',
  'DPMSolverMultistepScheduler',
  'DPMSolverSinglestepScheduler',
  'EDMDPMSolverMultistepScheduler',
  'EDMEulerScheduler',
  'Euler',
  'Euler a',
  'Euler Beta',
  'Euler DiscreteScheduler',
  'Euler Exponential',
  'Euler Karras',
  'EulerAncestralDiscreteScheduler',
  'FlowMatchEulerDiscreteScheduler',
  'Heun',
  'HeunDiscreteScheduler',
  'Heun Karras',
  'IPNDMScheduler',
  'IPNDM Uniform',
  'IPNDM Uniform Beta',
  'IPNDM Uniform Exponential',
  'IPNDM Uniform Karras',
  'KDPM2AncestralDiscreteScheduler',
  'KDPM2DiscreteScheduler',
  'LCM',
  'LCMScheduler',
  'LMS',
  'LMSDiscreteScheduler',
  'LMS Karras',
  'PNDMScheduler',
  'TCDScheduler',
  'UniPC',
  'UniPC 2M',
  'UniPC 2M Karras',
  'UniPC 2M Uniform',
  'UniPC 3M',
  'UniPC 3M Karras',
  'UniPC 3M Uniform',
  'UniPC Karras',
  'UniPC Uniform',
  'UniPC Uniform Beta',
  'UniPC Uniform Exponential',
  'UniPC Uniform Karras',
] as const;

/** `EulerDiscreteScheduler` is the name that the page misspells and clients send. */
export const schedulerNames = [...listed, 'EulerDiscreteScheduler'] as const;

export type SchedulerName = (typeof schedulerNames)[number];

type Scheduler = { sampler: 'euler'; sigmas: 'shifted' };

const flowEuler: Scheduler = { sampler: 'euler', sigmas: 'shifted' };

/** The names that the engine has a sampler for; a further one is one more line. */
export const schedulers = {
  Default: flowEuler,
  Euler: flowEuler,
  FlowMatchEulerDiscreteScheduler: flowEuler,
} as const satisfies Partial<Record<SchedulerName, Scheduler>>;

export const supportedSchedulers = Object.keys(schedulers) as (keyof typeof schedulers)[];
