import { addressOf, NoPicture, readPicture } from '../pictures/picture.ts';
import type { Field } from '../request/fields.ts';
import type { Values } from '../request/request.ts';
import { fieldErrors, setValue, values } from '../state/draft.ts';
import { keepPicture, pictures } from '../state/history.ts';
import { say } from '../state/notices.ts';
import { adaptersOf } from '../state/server.ts';
import { FieldInput } from './field.tsx';
import { Icon } from './icons.tsx';
import { pictureTypes } from './picture-buttons.tsx';
import { Words } from './words.tsx';

type Props = { field: Field; errors: readonly string[]; category: 'lora' | 'ip-adapter' };

/** The adapters of this server that fit the model; several act together. */
export function AdapterList({ field, errors, category }: Props) {
  const list = (values.value[field.path] ?? []) as Values[];
  const adapters = adaptersOf(category);
  const change = (next: Values[]) => setValue(field.path, next.length === 0 ? undefined : next);
  const add = (air: string) => change([...list, { model: air }]);
  if (adapters.length === 0) {
    return (
      <p class="fine">
        None is installed for this model. <code>retouch models add</code> installs one.
      </p>
    );
  }
  return (
    <div class="adapters">
      <p class="field-about">
        {errors.length > 0 && <strong class="error">{errors.join(' ')} </strong>}
        <Words text={field.about} />
      </p>
      {list.map((element, index) => (
        <Adapter
          key={`${index} ${String(element.model)}`}
          field={field}
          index={index}
          element={element}
          onChange={(next) => change(list.map((each, at) => (at === index ? next : each)))}
          onRemove={() => change(list.filter((_, at) => at !== index))}
        />
      ))}
      <div class="adapter-choices">
        {adapters.map(({ air, name, comment }) => (
          <button key={air} type="button" class="secondary" title={comment} onClick={() => add(air)}>
            <Icon name="add" /> {name}
          </button>
        ))}
      </div>
    </div>
  );
}

type AdapterProps = {
  field: Field;
  index: number;
  element: Values;
  onChange(next: Values): void;
  onRemove(): void;
};

function Adapter({ field, index, element, onChange, onRemove }: AdapterProps) {
  const place = `${field.path}[${index}]`;
  const name = String(element.model);
  const set = (path: string, value: unknown) => {
    const { [path]: _, ...rest } = element;
    onChange(value === undefined ? rest : { ...rest, [path]: value });
  };
  const errorsOf = (path: string) =>
    [...fieldErrors.value.fields]
      .filter(([key]) => key === `${place}.${path}` || key.startsWith(`${place}.${path}[`))
      .flatMap(([, texts]) => texts);
  return (
    <fieldset class="adapter">
      <legend>{name}</legend>
      <button
        type="button"
        class="quiet icon-only tiny adapter-remove"
        aria-label={`Remove ${name}`}
        onClick={onRemove}
      >
        <Icon name="trash" />
      </button>
      {errorsOf('model').length > 0 && <p class="error">{errorsOf('model').join(' ')}</p>}
      {(field.fields ?? [])
        .filter(({ path }) => path !== 'model')
        .map((inner) =>
          inner.kind === 'texts' ? (
            <Guides
              key={inner.path}
              field={inner}
              errors={errorsOf(inner.path)}
              ids={(element[inner.path] ?? []) as string[]}
              onChange={(ids) => set(inner.path, ids)}
            />
          ) : (
            <FieldInput
              key={inner.path}
              field={inner}
              id={`field-${place}.${inner.path}`}
              value={element[inner.path]}
              errors={errorsOf(inner.path)}
              onChange={(value) => set(inner.path, value)}
            />
          ),
        )}
    </fieldset>
  );
}

type GuidesProps = {
  field: Field;
  ids: readonly string[];
  errors: readonly string[];
  onChange(ids: string[]): void;
};

function Guides({ field, ids, errors, onChange }: GuidesProps) {
  const take = async (input: HTMLInputElement) => {
    const added: string[] = [];
    for (const file of input.files ?? []) {
      try {
        added.push(keepPicture(await readPicture(file, file.name)).id);
      } catch (error) {
        if (!(error instanceof NoPicture)) throw error;
        say(error.message);
      }
    }
    input.value = '';
    onChange([...ids, ...added]);
  };
  return (
    <div class="field">
      <span class="field-name">{field.name}</span>
      <div class="guides">
        {ids.map((id, index) => {
          const picture = pictures.value.get(id);
          return (
            <button
              key={id}
              type="button"
              class="guide"
              aria-label={`Remove guide picture ${index + 1}`}
              onClick={() => onChange(ids.filter((each) => each !== id))}
            >
              {picture && <img src={addressOf(picture.thumbnail)} alt="" />}
              <Icon name="close" />
            </button>
          );
        })}
        <label class="guide add">
          <span class="hidden">Add guide pictures</span>
          <Icon name="add" />
          <input
            type="file"
            accept={pictureTypes}
            multiple
            class="hidden"
            onChange={({ currentTarget }) => void take(currentTarget)}
          />
        </label>
      </div>
      <p class="field-about">
        {errors.length > 0 && <strong class="error">{errors.join(' ')} </strong>}
        <Words text={field.about} />
      </p>
    </div>
  );
}
