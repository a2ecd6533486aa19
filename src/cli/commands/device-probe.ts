/** Tests one device and reports to the parent. It runs in its own process, since a driver may abort instead of failing. */

import type { DeviceName } from '../../engine/onnx/device.ts';
import { selfTest } from '../../engine/onnx/self-test.ts';

const [device, shapes] = process.argv.slice(2) as [DeviceName, string];
const result = await selfTest(device, { shapes: JSON.parse(shapes) });
process.send?.(result, () => process.disconnect());
