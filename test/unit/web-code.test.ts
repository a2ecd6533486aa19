/** The request as code: the code sends exactly the request. */

import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseJson } from '../../src/api/json.ts';
import { codeOf } from '../../web/src/request/code.ts';

const request = {
  taskType: 'imageInference',
  taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
  model: 'retouch:mini@1',
  positivePrompt: 'it\'s a "café" in the \\ snow, $HOME `ls`\nand 雪',
  inputs: { referenceImages: ['0d9e3d5c-7a57-4b6f-8e57-2f6d1c0b9a11'] },
  seed: 9223372036854775807n,
  steps: 8,
  includeCost: true,
  lora: [{ model: 'retouch:neon@1', weight: 0.8 }],
  ultralytics: {},
};
const context = { origin: 'http://127.0.0.1:7100', needsKey: false, fileNames: ['my photo.png'] };

/** The words of a shell command. */
function words(command: string): string[] {
  const text = execFileSync('sh', [
    '-c',
    `show() { for word; do printf '%s\\0' "$word"; done; }; show ${command}`,
  ]);
  return text.toString().split('\0').slice(0, -1);
}

const hasPython = spawnSync('python3', ['--version']).status === 0;

describe('code', () => {
  it('as curl has the request as its body, whatever is in it', () => {
    const all = words(codeOf('curl', request, context));
    expect(parseJson(all[all.indexOf('-d') + 1]!)).toEqual([request]);
    expect(all).toContain('http://127.0.0.1:7100/v1');
  });

  it('as JavaScript gives the SDK every parameter but those that it makes itself', async () => {
    const text = codeOf('javascript', request, context)
      .replace(/^import .*$/m, '')
      .replace('await runware.disconnect();', 'return sent;');
    const make = new Function(
      `return (async () => { let sent; const console = { log() {} };
       class RunwareServer { constructor(options) { this.options = options; }
         async requestImages(parameters) { sent = { ...this.options, parameters }; } } ${text} })()`,
    );
    const { taskType: _, taskUUID: __, ...parameters } = request;
    expect(await make()).toEqual({ apiKey: 'none', url: 'ws://127.0.0.1:7100/v1', parameters });
  });

  it.skipIf(!hasPython)('as Python posts the request (skipped without python3)', () => {
    const program = `
import json, sys, types
requests = types.ModuleType('requests')
class Answer:
    def json(self): return ''
def post(url, json=None, headers=None):
    global sent
    sent = (url, json)
    return Answer()
requests.post = post
sys.modules['requests'] = requests
${codeOf('python', request, context)}
sys.stderr.write(json.dumps(sent))
`;
    const { stderr } = spawnSync('python3', ['-c', program], { encoding: 'utf8' });
    expect(parseJson(stderr)).toEqual(['http://127.0.0.1:7100/v1', [request]]);
  });

  it('as a command has a flag for each parameter, and says which have none', () => {
    const text = codeOf('cli', request, context);
    const [note, ...command] = text.split('\n');
    expect(note).toBe('# Without a flag on the command line: includeCost.');
    expect(words(command.join('\n'))).toEqual([
      ...['npx', 'retouch', 'edit', 'my photo.png', request.positivePrompt, '-o', 'result.jpg'],
      ...['--model', 'retouch:mini@1', '--seed', '9223372036854775807', '--steps', '8'],
      ...['--lora', 'retouch:neon@1:0.8', '--faces'],
    ]);
  });

  it.each(['curl', 'javascript', 'python'] as const)(
    'as %s reads a key from the environment and never has it',
    (language) => {
      expect(codeOf(language, request, { ...context, needsKey: true })).toContain('RETOUCH_API_KEY');
    },
  );
});
