import { describe, expect, it } from 'vitest';
import { loadConfig, requireKeys, settings, variableOf } from '../../src/config.ts';

describe('the configuration', () => {
  it('listens on this machine, port 7100, when nothing is said', () => {
    const config = loadConfig({ env: { PATH: '/bin' } });
    expect(config).toMatchObject({ host: '127.0.0.1', port: 7100, apiKeys: [], allowPrivateNetwork: false });
    expect(config.modelsDir).toBe(`${config.dataDir}/models`);
  });

  it('reads the environment, and flags before it', () => {
    const env = {
      RETOUCH_PORT: '0',
      RETOUCH_DATA_DIR: '/data',
      RETOUCH_MODELS_DIR: '/models',
      RETOUCH_HOST: '',
    };
    expect(loadConfig({ env, flags: { port: '8080' } })).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      dataDir: '/data',
      modelsDir: '/models',
    });
  });

  it.each<[name: string, text: string, key: string, value: unknown]>([
    ['api-keys', 'a, b', 'apiKeys', ['a', 'b']],
    ['alias', 'runware:106@1=retouch:mini@1', 'alias', { 'runware:106@1': 'retouch:mini@1' }],
    ['allow-private-network', '1', 'allowPrivateNetwork', true],
    ['allow-private-network', 'Files.lan,10.0.0.5', 'allowPrivateNetwork', ['files.lan', '10.0.0.5']],
    ['body-limit', '32MiB', 'bodyLimit', 32 * 2 ** 20],
    ['memory-limit', '1.5G', 'memoryLimit', 1.5 * 2 ** 30],
    ['public-url', 'https://edit.example.com/', 'publicUrl', 'https://edit.example.com'],
    ['log-level', 'debug', 'logLevel', 'debug'],
  ])('%s %j is understood from both', (name, text, key, value) => {
    expect(loadConfig({ env: { [variableOf(name)]: text } })).toHaveProperty(key, value);
    expect(loadConfig({ env: {}, flags: { [name]: text } })).toHaveProperty(key, value);
  });

  it('joins a flag that is repeated', () => {
    const { alias } = loadConfig({ env: {}, flags: { alias: ['a:1@1=c:1@1', 'b:1@1=c:1@1'] } });
    expect(alias).toEqual({ 'a:1@1': 'c:1@1', 'b:1@1': 'c:1@1' });
  });

  it('refuses an unknown name and says the nearest one', () => {
    const unknown = (sources: Parameters<typeof loadConfig>[0]) => {
      try {
        return loadConfig(sources);
      } catch (error) {
        return error;
      }
    };
    expect(unknown({ env: { RETOUCH_DATADIR: '/x' } })).toMatchObject({
      code: 'settingUnknown',
      message: 'There is no setting RETOUCH_DATADIR; did you mean RETOUCH_DATA_DIR?',
    });
    expect(unknown({ env: {}, flags: { prot: '1' } })).toMatchObject({
      message: 'There is no setting --prot; did you mean --port?',
    });
  });

  it.each([
    ['port', '70000'],
    ['port', 'http'],
    ['threads', '-1'],
    ['public-url', 'edit.example.com'],
    ['alias', 'runware:106@1'],
    ['device', 'npu:0'],
    ['body-limit', 'large'],
    ['api-keys', 'a,,b'],
  ])('refuses %s %j and says what is expected', (name, text) => {
    const expected = settings[name as keyof typeof settings].expected;
    expect(() => loadConfig({ env: { [variableOf(name)]: text } })).toThrow(expected);
    expect(() => loadConfig({ env: {}, flags: { [name]: text } })).toThrow(`--${name}`);
  });

  it('shows no keys in its errors', () => {
    expect(() => loadConfig({ env: { RETOUCH_API_KEYS: 'secret,,' } })).toThrow(/^(?!.*secret)/);
  });

  it('keeps to this machine until there are keys', () => {
    const at = (host: string, keys = '') =>
      loadConfig({ env: { RETOUCH_HOST: host, RETOUCH_API_KEYS: keys } });
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.com']) {
      expect(() => requireKeys(at(host), 0)).toThrow('RETOUCH_API_KEYS');
      requireKeys(at(host, 'k'), 0);
      requireKeys(at(host), 1);
    }
    for (const host of ['localhost', '127.0.0.2', '::1', '[::1]']) requireKeys(at(host), 0);
  });
});
