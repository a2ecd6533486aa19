import { describe, expect, it } from 'vitest';
import { type CudaPlaces, checkCuda } from '../../src/cli/commands/cuda-checks.ts';
import { deviceMemory } from '../../src/engine/process/device-memory.ts';

const complete: CudaPlaces = {
  platform: 'linux x64',
  providers: '/app/node_modules/onnxruntime-node/bin/napi-v6/linux/x64',
  libraries: new Map(
    [
      'libcudart.so.12.8.90',
      'libcublas.so.12.8.4.1',
      'libcublasLt.so.12.8.4.1',
      'libcufft.so.11.3.3.83',
      'libcurand.so.10.3.9.90',
      'libcudnn.so.9.8.0',
      'libcuda.so.1',
    ].map((file) => [file.replace(/(\.so\.\d+).*/, '$1'), `/usr/lib/${file}`]),
  ),
  driver: '570.124.06',
  exists: () => true,
};
const without = (...names: string[]) =>
  new Map([...complete.libraries].filter(([name]) => !names.includes(name)));
const linesOf = (changes: Partial<CudaPlaces>) => checkCuda({ ...complete, ...changes });
const bad = (changes: Partial<CudaPlaces>) => linesOf(changes).filter(({ level }) => level === 'problem');

describe('what CUDA needs', () => {
  it('is told with its versions where all of it is there', () => {
    expect(linesOf({}).map(({ level, name, text }) => [level, name, text])).toEqual([
      ['good', 'CUDA provider', `found in ${complete.providers}`],
      [
        'good',
        'CUDA runtime',
        'cudart.12.8.90, cublas.12.8.4.1, cublasLt.12.8.4.1, cufft.11.3.3.83, curand.10.3.9.90',
      ],
      ['good', 'cuDNN', 'cudnn.9.8.0'],
      ['good', 'NVIDIA driver', 'version 570.124.06'],
    ]);
  });

  it.each<[string, Partial<CudaPlaces>, string, RegExp]>([
    [
      'the provider',
      { exists: (file) => !file.endsWith('providers_cuda.so') },
      'CUDA provider',
      /missing libonnxruntime_providers_cuda\.so in .*ONNXRUNTIME_NODE_INSTALL=cuda12 node .*onnxruntime-node\/script\/install\.js$/,
    ],
    [
      'a library of the runtime',
      { libraries: without('libcufft.so.11') },
      'CUDA runtime',
      /missing libcufft\.so\.11 \(CUDA 12\).*apt-get install cuda-libraries-12-8/,
    ],
    [
      'cuDNN',
      { libraries: without('libcudnn.so.9') },
      'cuDNN',
      /missing libcudnn\.so\.9 .*apt-get install libcudnn9-cuda-12/,
    ],
    [
      'the driver',
      { driver: undefined },
      'NVIDIA driver',
      /missing the kernel module nvidia; .* 525 or newer/,
    ],
    [
      "the driver's library",
      { libraries: without('libcuda.so.1') },
      'NVIDIA driver',
      /missing libcuda\.so\.1; .*docker run --gpus all/,
    ],
    [
      'a driver that is new enough',
      { driver: '470.256' },
      'NVIDIA driver',
      /version 470\.256; .* 525 or newer/,
    ],
  ])('is told alone where %s is missing, with the command that gets it', (_, changes, name, text) => {
    expect(bad(changes)).toMatchObject([{ name, text: expect.stringMatching(text) }]);
  });

  it('is not there on other platforms', () => {
    expect(linesOf({ platform: 'darwin arm64' })).toMatchObject([
      { level: 'problem', text: expect.stringContaining('for linux x64; found darwin arm64') },
    ]);
  });
});

describe('the memory of a GPU', () => {
  const GiB = 2 ** 30;
  const machine = (nvidia: string | undefined, amd: number[] = []) => ({
    nvidia: () => nvidia,
    amd: () => amd,
  });
  const [cuda, webgpu] = (['cuda', 'webgpu'] as const).map((device) => (index: number) => ({
    device,
    index,
  }));

  it('is that of the card with the number of a CUDA device', () => {
    const two = machine('24576\n81920\n');
    expect([0, 1, 2].map((index) => deviceMemory(cuda!(index), two))).toEqual([
      24 * GiB,
      80 * GiB,
      undefined,
    ]);
    expect(deviceMemory(cuda!(0), machine(undefined))).toBeUndefined();
    expect(deviceMemory(cuda!(0), machine('No devices were found'))).toBeUndefined();
  });

  it('is known of a WebGPU adapter where the machine has one card, and never of a software device', () => {
    const files = process.env.VK_DRIVER_FILES;
    delete process.env.VK_DRIVER_FILES;
    expect(deviceMemory(webgpu!(0), machine('24576\n'))).toBe(24 * GiB);
    expect(deviceMemory(webgpu!(0), machine(undefined, [16 * GiB]))).toBe(16 * GiB);
    expect(deviceMemory(webgpu!(0), machine('24576\n', [16 * GiB]))).toBeUndefined();
    process.env.VK_DRIVER_FILES = '/usr/share/vulkan/icd.d/lvp_icd.json';
    expect(deviceMemory(webgpu!(0), machine('24576\n'))).toBeUndefined();
    if (files === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = files;
    expect(deviceMemory({ device: 'cpu', index: 0 }, machine('24576\n'))).toBeUndefined();
  });
});
