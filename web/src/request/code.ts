/** A request as code that sends it. */

import { stringifyWire, type Task } from '../server/wire.ts';

export type CodeContext = {
  /** `http://127.0.0.1:7100` */
  origin: string;
  /** Whether the server requires a key; the code reads it from the environment and never contains it. */
  needsKey: boolean;
  /** The name of each reference picture, for the command line, which takes files. */
  fileNames: readonly string[];
};

export const languages = {
  curl: 'curl',
  javascript: 'JavaScript',
  python: 'Python',
  cli: 'Command line',
} as const;
export type Language = keyof typeof languages;

const keyVariable = 'RETOUCH_API_KEY';

/** `request` has its taskUUID. */
export function codeOf(language: Language, request: Task, context: CodeContext): string {
  return { curl, javascript, python, cli }[language](request, context);
}

function curl(request: Task, { origin, needsKey }: CodeContext): string {
  const key = needsKey ? ` \\\n  -H "Authorization: Bearer $${keyVariable}"` : '';
  const body = stringifyWire([request], 2).replaceAll("'", "'\\''");
  return `curl -s ${origin}/v1 \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${body}'`;
}

/** Runware's SDK sends unknown parameters unchanged. It generates its own taskUUID. */
function javascript(
  { taskType: _, taskUUID: __, ...parameters }: Task,
  { origin, needsKey }: CodeContext,
): string {
  const key = needsKey ? `process.env.${keyVariable}` : "'none'";
  return `import { RunwareServer } from '@runware/sdk-js';

const runware = new RunwareServer({
  apiKey: ${key},
  url: '${origin.replace(/^http/, 'ws')}/v1',
});
const images = await runware.requestImages(${scriptLiteral(parameters)});
console.log(images);
await runware.disconnect();`;
}

function python(request: Task, { origin, needsKey }: CodeContext): string {
  const imports = needsKey ? 'import os\n\nimport requests' : 'import requests';
  const headers = needsKey
    ? `\n    headers={"Authorization": f"Bearer {os.environ['${keyVariable}']}"},`
    : '';
  return `${imports}

response = requests.post(
    "${origin}/v1",${headers}
    json=[${pythonLiteral(request, '    ')}],
)
print(response.json())`;
}

/** Flags of `retouch edit`; parameters without a flag are listed in a comment. */
function cli(request: Task, { fileNames }: CodeContext): string {
  const { words, left } = flagsOf(request);
  const files = fileNames.map(quote).join(' ');
  const format = String(request.outputFormat ?? 'JPG').toLowerCase();
  const lines = [
    `npx retouch edit ${files}${files && ' '}${quote(String(request.positivePrompt))}`,
    `-o result.${format}`,
    ...words,
  ];
  const notes = [
    ...(fileNames.length === 0 ? ['The command line edits pictures; without one, use curl.'] : []),
    ...(left.length > 0 ? [`Without a flag on the command line: ${left.join(', ')}.`] : []),
  ];
  return [...notes.map((note) => `# ${note}`), lines.join(' \\\n  ')].join('\n');
}

const flags: Readonly<Record<string, string>> = {
  model: '--model',
  width: '--width',
  height: '--height',
  steps: '--steps',
  seed: '--seed',
  CFGScale: '--guidance',
  negativePrompt: '--negative',
  trueCFGScale: '--true-cfg',
  scheduler: '--scheduler',
  outputQuality: '--quality',
};

const faceFlags: Readonly<Record<string, string>> = {
  CFGScale: 'guidance',
  maskPadding: 'padding',
  maskBlur: 'blur',
  positivePrompt: 'prompt',
  negativePrompt: 'negative',
};

const caches = {
  teaCache: ['tea', 'teaCacheDistance'],
  fbCache: ['fb', 'fbCacheThreshold'],
  dbCache: ['db', 'dbCacheThreshold'],
} as const;

type Parameters = Record<string, unknown>;

function flagsOf(request: Task): { words: string[]; left: string[] } {
  const words: string[] = [];
  const left: string[] = [];
  for (const [name, value] of Object.entries(request)) {
    if (['taskType', 'taskUUID', 'positivePrompt', 'inputs', 'outputFormat'].includes(name)) continue;
    if (flags[name]) words.push(`${flags[name]} ${quote(String(value))}`);
    else if (name === 'lora')
      words.push(...(value as Parameters[]).map((lora) => `--lora ${quote(loraText(lora))}`));
    else if (name === 'ipAdapters') words.push(...(value as Parameters[]).map(adapterText));
    else if (name === 'ultralytics') words.push(...faceWords(value as Parameters));
    else if (name === 'safety') words.push('--check');
    else if (name === 'acceleratorOptions') cacheWords(value as Parameters, words, left);
    else left.push(name);
  }
  return { words, left };
}

function loraText({ model, weight, transformer }: Parameters): string {
  const stage = transformer === undefined ? '' : `:${transformer}`;
  return `${model}${weight === undefined && stage === '' ? '' : `:${weight ?? 1}`}${stage}`;
}

function adapterText({ model, weight, guideImages }: Parameters): string {
  const files = (guideImages as string[]).map((_, index) => `guide-${index + 1}.png`).join(',');
  return `--ip-adapter ${quote(`${model}${weight === undefined ? '' : `:${weight}`}=${files}`)}`;
}

function faceWords(faces: Parameters): string[] {
  const settings = Object.entries(faces).map(
    ([name, value]) => `--face ${quote(`${faceFlags[name] ?? name}=${value}`)}`,
  );
  return ['--faces', ...settings];
}

function cacheWords(options: Parameters, words: string[], left: string[]): void {
  const on = (Object.keys(caches) as (keyof typeof caches)[]).find((name) => options[name] === true);
  const [name, amount] = on ? caches[on] : [];
  if (name) words.push(`--cache ${name}${options[amount!] === undefined ? '' : `:${options[amount!]}`}`);
  const said = [on, amount];
  left.push(
    ...Object.keys(options)
      .filter((key) => !said.includes(key as never))
      .map((key) => `acceleratorOptions.${key}`),
  );
}

function quote(text: string): string {
  return /^[\w@:./=,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** JSON with names bare and quotes single, as people write it; a bigint is one. */
function scriptLiteral(value: unknown, indent = ''): string {
  if (typeof value === 'string')
    return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((item) => scriptLiteral(item, inner))
    : Object.entries(value).map(([name, item]) => `${name}: ${scriptLiteral(item, inner)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (parts.length === 0) return `${open}${close}`;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join('')}${indent}${close}`;
}

function pythonLiteral(value: unknown, indent: string): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null) return 'None';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((item) => pythonLiteral(item, inner))
    : Object.entries(value).map(([name, item]) => `"${name}": ${pythonLiteral(item, inner)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (parts.length === 0) return `${open}${close}`;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join('')}${indent}${close}`;
}
