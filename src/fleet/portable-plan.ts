/** A Plan without paths, for another machine: every file is named by its AIR, and the machine finds its own. */

import { deserialize, serialize } from 'node:v8';
import type { Plan, ToolSource } from '../engine/plan.ts';
import type { Catalog, FileName, Need } from './catalog.ts';
import { FleetError } from './errors.ts';

type PortableTool = Omit<ToolSource, 'files'>;
type PortableAdapter = Omit<Plan['ipAdapters'][number], 'file' | 'imageEncoder' | 'faceDetector'> & {
  file: FileName;
  imageEncoder: FileName;
  faceDetector: PortableTool | undefined;
};
type PortablePlan = Omit<Plan, 'model' | 'loras' | 'ipAdapters' | 'faces' | 'safety'> & {
  model: string;
  loras: (Omit<Plan['loras'][number], 'file'> & { file: FileName })[];
  ipAdapters: PortableAdapter[];
  faces: (Omit<NonNullable<Plan['faces']>, 'detector'> & { detector: PortableTool }) | undefined;
  safety: PortableTool | undefined;
};

/** The models and adapters that a plan needs, its model first, each once. Throws `workerLacksModel` for a file of none. */
export function needsOf(plan: Plan, catalog: Catalog): Need[] {
  const { model, loras, ipAdapters, faces, safety } = toPortable(plan, catalog);
  const airs = [
    model,
    ...loras.map(({ file }) => file.air),
    ...ipAdapters.flatMap(({ file, imageEncoder, faceDetector }) => [
      file.air,
      imageEncoder.air,
      ...(faceDetector ? [faceDetector.air] : []),
    ]),
    ...(faces ? [faces.detector.air] : []),
    ...(safety ? [safety.air] : []),
  ];
  const [first, ...rest] = [...new Set(airs)].map((air) => catalog.need(air) ?? unknown(air));
  return [first!, ...rest.toSorted((a, b) => (a.air < b.air ? -1 : 1))];
}

/** In V8's format of structured clones, which keeps big integers, −0 and byte arrays as they are. */
export function packPlan(plan: Plan, catalog: Catalog): Uint8Array {
  return serialize(toPortable(plan, catalog));
}

/** Throws `workerLacksModel` when something of the plan is not on this machine. */
export function unpackPlan(bytes: Uint8Array, catalog: Catalog): Plan {
  const { model, loras, ipAdapters, faces, safety, ...rest } = deserialize(bytes) as PortablePlan;
  const pathOf = (file: FileName): string => catalog.pathOf(file) ?? unknown(file.air);
  const tool = (portable: PortableTool): ToolSource => ({
    ...portable,
    files: catalog.toolFiles(portable.air) ?? unknown(portable.air),
  });
  return {
    ...rest,
    model: catalog.model(model) ?? unknown(model),
    loras: loras.map(({ file, ...lora }) => ({ ...lora, file: pathOf(file) })),
    ipAdapters: ipAdapters.map(({ file, imageEncoder, faceDetector, ...adapter }) => ({
      ...adapter,
      file: pathOf(file),
      imageEncoder: pathOf(imageEncoder),
      faceDetector: faceDetector && tool(faceDetector),
    })),
    faces: faces && { ...faces, detector: tool(faces.detector) },
    safety: safety && tool(safety),
  };
}

function toPortable(plan: Plan, catalog: Catalog): PortablePlan {
  const { model, loras, ipAdapters, faces, safety, ...rest } = plan;
  const nameOf = (path: string, air: string): FileName => catalog.nameOf(path, air) ?? unknown(air);
  return {
    ...rest,
    model: model.air,
    loras: loras.map(({ file, ...lora }) => ({ ...lora, file: nameOf(file, lora.air) })),
    ipAdapters: ipAdapters.map(({ file, imageEncoder, faceDetector, ...adapter }) => ({
      ...adapter,
      file: nameOf(file, adapter.air),
      imageEncoder: nameOf(imageEncoder, adapter.air),
      faceDetector: faceDetector && withoutFiles(faceDetector),
    })),
    faces: faces && { ...faces, detector: withoutFiles(faces.detector) },
    safety: safety && withoutFiles(safety),
  };
}

function withoutFiles({ files: _, ...tool }: ToolSource): PortableTool {
  return tool;
}

function unknown(air: string): never {
  throw new FleetError(
    'workerLacksModel',
    `The files of ${air} cannot be read on this machine, or are not those of a model.`,
  );
}
