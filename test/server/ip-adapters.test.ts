import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, drawPicture, task } from './fixture.ts';

let bench: Bench;
let models: string;

const manifest = {
  category: 'ip-adapter',
  air: 'me:style@1',
  name: 'My style',
  architecture: 'flux-dev',
  files: { adapter: 'ip_adapter.safetensors', imageEncoder: 'image_encoder' },
  license: 'Apache-2.0',
};

async function install(folder: string, changes: object): Promise<void> {
  await mkdir(join(models, folder), { recursive: true });
  await writeFile(join(models, folder, 'manifest.json'), JSON.stringify({ ...manifest, ...changes }));
}

beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'retouch-models-'));
  await install('style', {});
  await install('bound', { air: 'runware:55@7', name: 'A bound one' });
  await install('face', { air: 'runware:55@8', name: 'One for faces' });
  await install('other', { air: 'me:sd3@1', architecture: 'sd3' });
  bench = await createBench({ 'models-dir': models, alias: 'runware:55@2=me:style@1' });
});

afterEach(async () => {
  await bench.close();
  await rm(models, { recursive: true });
});

const picture = async (width: number) => (await drawPicture(width, 40)).toString('base64');
const post = (...ipAdapters: object[]) => bench.post([{ ...task, taskUUID: randomUUID(), ipAdapters }]);

describe('a task with IP-Adapters', () => {
  it('becomes a plan with their files, their pictures and what the page says where nothing is asked for', async () => {
    const [a, b, c] = [await picture(30), await picture(31), await picture(32)];
    const { status } = await post(
      { model: 'me:style@1', guideImages: [a, b] },
      {
        model: 'me:style@1',
        guideImages: [c],
        weight: -2.5,
        combineMethod: 'norm_average',
        embedScaling: 'only_v',
        weightType: 'strong_style_and_composition',
        weightComposition: 0.25,
      },
    );
    expect(status).toBe(200);
    const files = {
      air: 'me:style@1',
      file: join(models, 'style', 'ip_adapter.safetensors'),
      imageEncoder: join(models, 'style', 'image_encoder'),
      faceDetector: undefined,
    };
    const bytes = (...pictures: string[]) => pictures.map((text) => Buffer.from(text, 'base64'));
    expect(bench.engine.plans[0]!.ipAdapters).toEqual([
      {
        ...files,
        guides: bytes(a, b),
        weight: 1,
        combineMethod: 'concat',
        embedScaling: 'kv',
        weightType: 'normal',
        weightComposition: 1,
      },
      {
        ...files,
        guides: bytes(c),
        weight: -2.5,
        combineMethod: 'norm_average',
        embedScaling: 'only_v',
        weightType: 'strong_style_and_composition',
        weightComposition: 0.25,
      },
    ]);
  });

  it('does not take its shape from them', async () => {
    await post({ model: 'me:style@1', guideImages: [await picture(90)] });
    expect(bench.engine.plans[0]).toMatchObject({ width: 1024, height: 1024, references: [] });
  });

  it('may name an id of Runware’s list that is bound, by a manifest or an alias', async () => {
    const guideImages = [await picture(30)];
    const { status } = await post(
      { model: 'runware:55@2', guideImages, weight: 0.8 },
      // Made light: half of the weight.
      { model: 'runware:55@7', guideImages, weight: 0.8 },
    );
    expect(status).toBe(200);
    expect(bench.engine.plans[0]!.ipAdapters.map(({ file, weight }) => [file, weight])).toEqual([
      [join(models, 'style', 'ip_adapter.safetensors'), 0.8],
      [join(models, 'bound', 'ip_adapter.safetensors'), 0.4],
    ]);
  });
});

it('of the ids made for faces has the detector of faces in its plan', async () => {
  await post({ model: 'runware:55@8', guideImages: [await picture(30)] });
  expect(bench.engine.plans[0]!.ipAdapters[0]).toMatchObject({
    air: 'runware:55@8',
    faceDetector: { air: 'retouch:face@1', architecture: 'ssd-mobilenet-v1' },
  });
});

describe('a task is refused', () => {
  const refusal = async (...ipAdapters: object[]) => {
    const { status, body } = await post(...ipAdapters);
    expect(bench.engine.plans).toEqual([]);
    return { status, errors: body.errors! };
  };

  it.each([
    ['runware:55@1', 'IP Adapter SDXL', "SDXL's UNet"],
    ['runware:55@3', 'IP Adapter SDXL Plus Face', "SDXL's UNet"],
    ['runware:55@4', 'IP Adapter SDXL Vit-H', "SDXL's UNet"],
    ['runware:55@5', 'IP Adapter SD 1.5', "SD 1.5's UNet"],
    ['runware:55@6', 'IP Adapter SD 1.5 Plus', "SD 1.5's UNet"],
    ['runware:55@10', 'IP Adapter SD 1.5 Vit-G', "SD 1.5's UNet"],
  ])(
    'when it names %s, which is unbound: it says what that is and how to bind it',
    async (air, name, unet) => {
      const { status, errors } = await refusal({ model: air, guideImages: [await picture(30)] });
      expect([status, errors.length]).toEqual([400, 1]);
      expect(errors[0]).toMatchObject({ code: 'unsupportedIpAdaptersModel', parameter: 'ipAdapters.model' });
      const { message } = errors[0] as { message: string };
      expect(message).toContain(`'ipAdapters[0].model': ${air} is the ${name},`);
      expect(message).toContain(unet);
      expect(message).toContain(`--alias ${air}=<its AIR>`);
      expect(message).toContain('docs/guide/ip-adapters.md');
      expect(message).toContain('me:style@1 (My style)');
    },
  );

  it('when it names one that is not there, or of another architecture', async () => {
    const guideImages = [await picture(30)];
    const { errors } = await refusal({ model: 'me:none@1', guideImages }, { model: 'me:sd3@1', guideImages });
    expect(errors.map(({ code }) => code)).toEqual(['invalidIpAdaptersModel', 'unsupportedIpAdaptersModel']);
    expect(errors[0]!.message).toContain(
      "'ipAdapters[0].model': The IP-Adapter 'me:none@1' is not installed",
    );
    expect(errors[1]!.message).toContain('is made for sd3; the model retouch:mini@1 is flux-kontext');
  });

  it('when a guide image is none, by its place', async () => {
    const good = await picture(30);
    const { status, errors } = await refusal(
      { model: 'me:style@1', guideImages: [good] },
      { model: 'me:style@1', guideImages: [good, 'not a picture'] },
    );
    expect(status).toBe(400);
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'invalidIpAdaptersGuideImages',
        parameter: 'ipAdapters.guideImages',
        documentation: expect.stringMatching(/#request-ipadapters-guideimages$/),
        message: expect.stringContaining("'ipAdapters[1].guideImages[1]': found 'not a picture'"),
      }),
    ]);
  });

  it('when there is no guide image at all', async () => {
    const { errors } = await refusal({ model: 'me:style@1', guideImages: [] });
    expect(errors[0]).toMatchObject({ code: 'invalidIpAdaptersGuideImagesCount' });
  });

  it('when the engine finds that a file does not fit, by its own words', async () => {
    const { RetouchError } = await import('../../src/error.ts');
    const faults: [string, string][] = [
      ['ipAdapterMisfit', 'unsupportedIpAdaptersModel'],
      ['ipAdapterUnsupported', 'unsupportedIpAdaptersModel'],
      ['guideUndecodable', 'invalidIpAdaptersGuideImages'],
    ];
    for (const [thrown, code] of faults) {
      bench.engine.script = async () => {
        throw new RetouchError(thrown, 'what it says');
      };
      const { status, body } = await post({ model: 'me:style@1', guideImages: [await picture(30)] });
      expect([status, body.errors?.[0]]).toEqual([
        400,
        expect.objectContaining({ code, message: 'what it says' }),
      ]);
    }
  });
});

it('a manifest without one of the two files is passed over and said to be', async () => {
  const { ModelStore } = await import('../../src/store/models.ts');
  await install('half', { air: 'me:half@1', files: { adapter: 'a.safetensors' } });
  const store = await ModelStore.scan({ models, cache: models });
  expect(store.problems).toEqual([
    expect.stringContaining("half/manifest.json: 'files' must be paths of adapter and imageEncoder"),
  ]);
});
