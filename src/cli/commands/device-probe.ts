/** Tests one device and tells the parent: a process of its own, since a driver may abort instead of failing. */

import { selfTest } from '../../engine/onnx/self-test.ts';
import type { DeviceName } from '../../engine/plan.ts';

const result = await selfTest(process.argv[2] as DeviceName);
process.send?.(result, () => process.disconnect());
