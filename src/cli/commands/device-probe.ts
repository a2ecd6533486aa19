/** Tests one device and reports to the parent. It runs in its own process, since a driver may abort instead of failing. */

import { selfTest } from '../../engine/onnx/self-test.ts';
import type { DeviceName } from '../../engine/plan.ts';

const result = await selfTest(process.argv[2] as DeviceName);
process.send?.(result, () => process.disconnect());
