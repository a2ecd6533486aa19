/** `retouch doctor`: reports the capabilities and problems of this machine. */

import { type Config, engineOptions } from '../../config.ts';
import type { DeviceName } from '../../engine/onnx/device.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments } from '../flags/arguments.ts';
import { allSettings, configFrom, settingFlags } from '../flags/settings.ts';
import { checkCuda } from './cuda-checks.ts';
import {
  checkDataFolder,
  checkDevice,
  checkEngines,
  checkFleet,
  checkMemory,
  checkModels,
  checkNode,
  checkPort,
  checkProcessor,
  checkRuntime,
  type DeviceCheck,
  type Finding,
  openStore,
  shapesOf,
} from './doctor-checks.ts';
import { forecastEdits } from './doctor-forecast.ts';

const flags = settingFlags(allSettings, true);

export const doctor: Command = {
  summary: 'Check this machine: devices, memory, models, and problems.',
  usage: ['doctor [flags]'],
  details: [
    'Looks at the machine with the settings that the same flags and environment would give the server. ' +
      'The exit code is 1 when something essential fails.',
  ],
  flags,
  async run(words) {
    const { values, positionals } = parseArguments(words, flags);
    if (positionals.length > 0) {
      throw cliError('argumentUnexpected', `doctor takes flags only; found '${positionals[0]}'.`);
    }
    let problems = 0;
    for await (const finding of examine(configFrom(values))) {
      console.log(formatFinding(finding));
      if (finding.level === 'problem') problems++;
    }
    console.log(
      problems === 0 ? '\nRetouch can work here.' : `\nProblems: ${problems}. Retouch cannot work like this.`,
    );
    return problems === 0 ? 0 : 1;
  },
};

/** Yields each finding as soon as its check ends. */
async function* examine(config: Config): AsyncGenerator<Finding> {
  yield checkNode();
  yield await checkProcessor(config);
  yield checkMemory(config);
  yield* checkEngines(config);
  yield checkRuntime();
  const store = await openStore(config);
  const shapes = await shapesOf(store);
  let chosen: DeviceCheck | undefined;
  for (const device of devicesOf(config)) {
    if (device === 'cuda') yield* checkCuda();
    const check = await checkDevice(device, config, shapes);
    yield check.finding;
    if (device === config.device) chosen = check;
  }
  yield* await checkModels(config, store, chosen?.test);
  yield* forecastEdits(config, store);
  yield* await checkFleet(config);
  yield await checkDataFolder(config);
  yield await checkPort(config);
}

/** Both that need no further library, and those of the configured engines. */
function devicesOf(config: Config): DeviceName[] {
  const used = engineOptions(config).devices.map(({ device }) => device);
  return [...new Set<DeviceName>(['cpu', 'webgpu', ...used])];
}

const marks: Readonly<Record<Finding['level'], string>> = { good: '✓', warning: '!', problem: '✗' };

export function formatFinding({ level, name, text }: Finding): string {
  return `${marks[level]} ${name.padEnd(14)} ${text}`;
}
