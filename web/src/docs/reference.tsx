import { type Field, fieldsOf, type JsonSchema } from '../request/fields.ts';
import { Words } from '../ui/words.tsx';

type Operation = {
  summary?: string;
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: JsonSchema }[];
  requestBody?: { content?: Record<string, { schema?: JsonSchema }> };
  responses?: Record<string, { description?: string }>;
};

type Named = JsonSchema & { externalDocs?: { url: string } };

export type OpenApi = {
  info: { title: string; version: string; summary?: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Named> };
};

/** The OpenAPI document as a page: a chapter for each type of task, and the addresses besides. */
export function Reference({ document: { info, paths, components } }: { document: OpenApi }) {
  const { schemas } = components;
  const tasks = Object.keys(schemas)
    .filter((name) => name.endsWith('Task'))
    // The main task type comes first.
    .sort(
      (a, b) => Number(b === 'ImageInferenceTask') - Number(a === 'ImageInferenceTask') || a.localeCompare(b),
    );
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  return (
    <div class="docs">
      <nav class="docs-nav" aria-label="Contents">
        <a class="docs-home" href="/">
          {info.title} <span>{info.version}</span>
        </a>
        <h2>Tasks</h2>
        <ul>
          {tasks.map((name) => (
            <li key={name}>
              <a href={`#${anchor(name)}`}>{anchor(name)}</a>
            </li>
          ))}
        </ul>
        <h2>Addresses</h2>
        <ul>
          {operations.map(({ path, method }) => (
            <li key={method + path}>
              <a href={`#${method}-${slug(path)}`}>
                <b>{method.toUpperCase()}</b> {path}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main class="docs-main">
        <h1>API reference</h1>
        <p class="lead">
          {info.summary} Tasks go as a JSON array to <code>POST /v1</code>, or over a WebSocket at the same
          address; the answer has <code>data</code> and <code>errors</code>. The document behind this page is{' '}
          <a href="/openapi.json">/openapi.json</a>.
        </p>
        {tasks.map((name) => (
          <Task
            key={name}
            name={name}
            task={schemas[name]!}
            result={schemas[name.replace(/Task$/, 'Result')]}
          />
        ))}
        <h2 class="part">Addresses</h2>
        {operations.map((each) => (
          <OperationView key={each.method + each.path} {...each} />
        ))}
        <h2 class="part">Errors</h2>
        <Rows fields={fieldsOf(schemas.Error ?? {})} title="An element of errors" />
      </main>
    </div>
  );
}

function Task({ name, task, result }: { name: string; task: Named; result: Named | undefined }) {
  return (
    <section id={anchor(name)}>
      <h2>{anchor(name)}</h2>
      <p class="lead">
        <Words text={task.description ?? ''} />
      </p>
      <Rows fields={fieldsOf(task)} title="Parameters" />
      {result && <Rows fields={fieldsOf(result)} title="Result" />}
      {(task.examples ?? []).map((example) => {
        const text = JSON.stringify([example], null, 2);
        return (
          <details key={text} class="example">
            <summary>Example</summary>
            <pre>
              <code>{text}</code>
            </pre>
          </details>
        );
      })}
    </section>
  );
}

function Rows({ fields, title }: { fields: readonly Field[]; title: string }) {
  return (
    <>
      <h3>{title}</h3>
      <dl class="rows">
        {fields.map((field) => (
          <Row key={field.path} field={field} />
        ))}
      </dl>
    </>
  );
}

function Row({ field }: { field: Field }) {
  const { path, kind, about, required, choices, fields } = field;
  return (
    <div class="row">
      <dt>
        <code>{path}</code>
        <span class="fine">{[typeNames[kind], required ? 'required' : ''].filter(Boolean).join(', ')}</span>
      </dt>
      <dd>
        <Words text={about || (texts[path] ?? '')} />
        <span class="fine"> {limits(field)}</span>
        {choices && choices.length <= 8 && <span class="fine"> {choicesText(choices)}</span>}
        {choices && choices.length > 8 && (
          <details>
            <summary>{choices.length} values</summary>
            <p class="fine">{choices.join(' · ')}</p>
          </details>
        )}
        {fields && (
          <dl class="rows inner">
            {fields.map((inner) => (
              <Row key={inner.path} field={inner} />
            ))}
          </dl>
        )}
      </dd>
    </div>
  );
}

/** Parameters that every task has. */
const texts: Readonly<Record<string, string>> = {
  taskUUID: 'A UUID of your own, a new one for each task; its answers have it.',
};

function choicesText(choices: readonly string[]): string {
  return choices.length === 1 ? `Always ${choices[0]}.` : `One of ${choices.join(', ')}.`;
}

const typeNames: Readonly<Record<Field['kind'], string>> = {
  text: 'string',
  integer: 'integer',
  number: 'number',
  boolean: 'boolean',
  choice: 'string',
  texts: 'array of strings',
  list: 'array of objects',
};

function limits({ min, max, step, maxLength, maxItems, default: initial, kind }: Field): string {
  const said = [
    min !== undefined && max !== undefined
      ? `${min} to ${max}`
      : min !== undefined
        ? `at least ${min}`
        : undefined,
    kind === 'number' && step ? `in steps of ${step}` : undefined,
    maxLength === undefined ? undefined : `at most ${maxLength} characters`,
    maxItems === undefined ? undefined : `at most ${maxItems}`,
    initial === undefined ? undefined : `default ${String(initial)}`,
  ].filter((text) => text !== undefined);
  const text = said.join(', ');
  return text && `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

function OperationView({ path, method, operation }: { path: string; method: string; operation: Operation }) {
  // The tasks of POST /v1 are an array; each type has its own chapter.
  const body = operation.requestBody?.content?.['application/json']?.schema;
  return (
    <section id={`${method}-${slug(path)}`} class="operation">
      <h3>
        <b>{method.toUpperCase()}</b> <code>{path}</code>
      </h3>
      <p>
        <Words text={[operation.summary, operation.description].filter(Boolean).join(' ')} />
      </p>
      {body?.properties && <Rows fields={fieldsOf(body)} title="Body" />}
      <dl class="rows">
        {(operation.parameters ?? []).map(({ name, description = '', ...rest }) => (
          <div key={name} class="row">
            <dt>
              <code>{name}</code>
              <span class="fine">{rest.in}</span>
            </dt>
            <dd>{description}</dd>
          </div>
        ))}
        {Object.entries(operation.responses ?? {}).map(([status, { description = '' }]) => (
          <div key={status} class="row">
            <dt>
              <code>{status}</code>
            </dt>
            <dd>{description}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** `ImageInferenceTask` → `imageInference`, the name on the wire. */
function anchor(name: string): string {
  return `${name[0]!.toLowerCase()}${name.slice(1).replace(/Task$/, '')}`;
}

function slug(path: string): string {
  return path.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '');
}
