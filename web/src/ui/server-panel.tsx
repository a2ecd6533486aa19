import { useEffect } from 'preact/hooks';
import { apiKey, noAnswer, serverOrigin } from '../server/client.ts';
import { reconnect } from '../state/runs.ts';
import { connectionState, found, health, loadHealth, type Model } from '../state/server.ts';

/** Installed models and adapters, device, precision, memory and queue. */
export function ServerPanel() {
  useEffect(() => {
    void loadHealth();
    const timer = setInterval(() => void loadHealth(), 2_000);
    return () => clearInterval(timer);
  }, []);
  const { engine, queue, memory, uptime } = health.value ?? {};
  return (
    <div class="server-panel">
      {connectionState.value === 'offline' && (
        <p class="warning" role="status">
          {noAnswer} This page tries again by itself.{' '}
          <button type="button" class="link" onClick={reconnect}>
            Try now
          </button>
        </p>
      )}
      <dl class="facts-list">
        <Fact
          name="Engine"
          value={
            engine && `${engine.state}${engine.restarts > 0 ? `, restarted ${engine.restarts} times` : ''}`
          }
        />
        <Fact name="Device" value={engine?.device} />
        <Fact name="Precision" value={engine?.precision} />
        <Fact name="Queue" value={queue && `${queue.depth} of ${queue.limit} images`} />
        <Fact
          name="Memory"
          value={
            memory &&
            `up to ${gigabytes(memory.limit)} of ${gigabytes(memory.total)}, ${gigabytes(memory.free)} free`
          }
        />
        <Fact name="Up for" value={uptime === undefined ? undefined : duration(uptime)} />
      </dl>
      <Installed title="Models" categories={['checkpoint']} />
      <Installed title="LoRA" categories={['lora']} />
      <Installed title="IP-Adapters" categories={['ip-adapter']} />
      <Installed title="Faces and safety" categories={['face-detector', 'safety-classifier']} />
      <p class="links">
        <a href={`${serverOrigin}/docs`}>API reference</a>{' '}
        <a href={`${serverOrigin}/openapi.json`}>OpenAPI</a> <a href={`${serverOrigin}/metrics`}>Metrics</a>
        {apiKey.get() !== undefined && (
          <button type="button" class="link" onClick={forgetKey}>
            Forget the API key
          </button>
        )}
      </p>
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string | undefined }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value ?? '–'}</dd>
    </div>
  );
}

function Installed({ title, categories }: { title: string; categories: readonly string[] }) {
  const models = (found.value ?? []).filter(({ category }) => categories.includes(category));
  if (models.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="installed">
        {models.map((model) => (
          <InstalledModel key={model.air} {...model} />
        ))}
      </ul>
    </section>
  );
}

function InstalledModel({ name, air, license, comment }: Model) {
  return (
    <li>
      <strong>{name}</strong> <code>{air}</code>
      <span class="fine">{[comment, license].filter(Boolean).join(' ')}</span>
    </li>
  );
}

function forgetKey(): void {
  apiKey.forget();
  reconnect();
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
