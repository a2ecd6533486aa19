/**
 * The libraries that ONNX Runtime's CUDA provider needs, looked for where the loader would: which are there, in what
 * version, and how to get the rest.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Finding } from './doctor-checks.ts';

/** Properties of the machine; tests replace them. */
export type CudaPlaces = {
  platform: string;
  /** The folder of onnxruntime-node's own libraries. */
  providers: string;
  /** Files by the names that the loader knows them by. */
  libraries: ReadonlyMap<string, string>;
  /** Version of the kernel's driver. */
  driver: string | undefined;
  exists(file: string): boolean;
};

/** Built with CUDA 12 and cuDNN 9; the numbers are those of the libraries' interfaces. */
const runtime = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcurand.so.10',
];
const neededDriver = 525;

export function checkCuda(places = placesHere()): Finding[] {
  const level = 'problem';
  if (places.platform !== 'linux x64')
    return [
      {
        level,
        name: 'CUDA',
        text: `onnxruntime-node brings its CUDA provider for linux x64; found ${places.platform}`,
      },
    ];
  const line = (name: string, missing: string, found: string): Finding =>
    missing === '' ? { level: 'good', name, text: found } : { level, name, text: missing };
  return [
    line('CUDA provider', missingProvider(places), `found in ${places.providers}`),
    line('CUDA runtime', missingRuntime(places), versionsOf(runtime, places)),
    line('cuDNN', missingCudnn(places), versionsOf(['libcudnn.so.9'], places)),
    line('NVIDIA driver', missingDriver(places), `version ${places.driver}`),
  ];
}

function missingProvider({ providers, exists }: CudaPlaces): string {
  const files = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
  const missing = files.filter((name) => !exists(path.join(providers, name)));
  if (missing.length === 0) return '';
  const script = path.join(providers, '../../../../script/install.js');
  return `missing ${missing.join(', ')} in ${providers}; get them with: ONNXRUNTIME_NODE_INSTALL=cuda12 node ${script}`;
}

function missingRuntime({ libraries }: CudaPlaces): string {
  const missing = runtime.filter((name) => !libraries.has(name));
  return missing.length === 0
    ? ''
    : `missing ${missing.join(', ')} (CUDA 12); get them with NVIDIA's repository: apt-get install cuda-libraries-12-8, or: ` +
        'pip install nvidia-cuda-runtime-cu12 nvidia-cublas-cu12 nvidia-cufft-cu12 nvidia-curand-cu12 and their lib folders in LD_LIBRARY_PATH';
}

function missingCudnn({ libraries }: CudaPlaces): string {
  return libraries.has('libcudnn.so.9')
    ? ''
    : "missing libcudnn.so.9 (cuDNN 9 for CUDA 12); get it with NVIDIA's repository: apt-get install libcudnn9-cuda-12, or: " +
        'pip install nvidia-cudnn-cu12 and its lib folder in LD_LIBRARY_PATH';
}

function missingDriver({ driver, libraries }: CudaPlaces): string {
  if (driver === undefined || !libraries.has('libcuda.so.1'))
    return (
      `missing ${driver === undefined ? 'the kernel module nvidia' : 'libcuda.so.1'}; CUDA 12 needs NVIDIA's driver ${neededDriver} or newer ` +
      '(Debian: apt-get install nvidia-driver; in a container: docker run --gpus all)'
    );
  return Number.parseInt(driver, 10) < neededDriver
    ? `version ${driver}; CUDA 12 needs ${neededDriver} or newer`
    : '';
}

/** Libraries are files whose real names end in their versions: libcudart.so.12.8.90. */
function versionsOf(names: readonly string[], { libraries }: CudaPlaces): string {
  return names
    .map((name) =>
      path
        .basename(libraries.get(name) ?? name)
        .replace(/^lib/, '')
        .replace('.so', ''),
    )
    .join(', ');
}

function placesHere(): CudaPlaces {
  const platform = `${process.platform} ${process.arch}`;
  const root = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const module = textOf('/proc/driver/nvidia/version');
  return {
    platform,
    providers: path.join(root, 'bin/napi-v6', process.platform, process.arch),
    libraries: new Map([...cachedLibraries(), ...pathLibraries()]),
    driver: /Kernel Module(?: for \S+)?\s+(\S+)/.exec(module)?.[1],
    exists: existsSync,
  };
}

/** The loader's cache: `libcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1`. */
function cachedLibraries(): [string, string][] {
  let text = '';
  for (const program of ['ldconfig', '/sbin/ldconfig'])
    try {
      text ||= execFileSync(program, ['-p'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch {
      // Not there, or not on this system; LD_LIBRARY_PATH is looked at besides.
    }
  return [...text.matchAll(/^\s*(\S+) \(.*\) => (\S+)$/gm)].map(([, name, file]) => [name!, realpath(file!)]);
}

function pathLibraries(): [string, string][] {
  const folders = process.env.LD_LIBRARY_PATH?.split(':').filter(Boolean) ?? [];
  const names = [...runtime, 'libcudnn.so.9', 'libcuda.so.1'];
  return folders.flatMap((folder) =>
    names
      .filter((name) => existsSync(path.join(folder, name)))
      .map((name): [string, string] => [name, realpath(path.join(folder, name))]),
  );
}

function realpath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
