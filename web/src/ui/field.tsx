import type { Field } from '../request/fields.ts';
import { Icon } from './icons.tsx';
import { Words } from './words.tsx';

type Props = {
  field: Field;
  id: string;
  value: unknown;
  errors: readonly string[];
  /** The default where the schema has none, because the model decides. */
  modelDefault?: unknown;
  isDisabled?: boolean;
  onChange(value: unknown): void;
};

/** One parameter: name, control, description, bounds and errors. */
export function FieldInput(props: Props) {
  const { field, id, value, errors, modelDefault, isDisabled, onChange } = props;
  const initial = field.default ?? modelDefault;
  const described = `${id}-about`;
  const common = {
    id,
    disabled: isDisabled,
    'aria-invalid': errors.length > 0,
    'aria-describedby': described,
  } as const;
  const isChanged = value !== undefined && !isDisabled;
  return (
    <div class="field" data-kind={field.kind} data-changed={isChanged ? '' : undefined}>
      <div class="field-head">
        <label class="field-name" for={id}>
          {field.name}
        </label>
        {isChanged && (
          <button
            type="button"
            class="quiet icon-only tiny"
            aria-label={`Reset ${field.name}`}
            onClick={() => onChange(undefined)}
          >
            <Icon name="reset" />
          </button>
        )}
        <Control {...props} common={common} initial={initial} />
      </div>
      <p class="field-about" id={described}>
        {errors.length > 0 && <strong class="error">{errors.join(' ')} </strong>}
        <Words text={field.about} /> <span class="bounds">{bounds(field, initial)}</span>
      </p>
    </div>
  );
}

type Common = {
  id: string;
  disabled: boolean | undefined;
  'aria-invalid': boolean;
  'aria-describedby': string;
};

function Control({ field, value, onChange, common, initial }: Props & { common: Common; initial: unknown }) {
  const { kind, choices = [], min, max, step } = field;
  switch (kind) {
    case 'boolean':
      return (
        <input
          {...common}
          type="checkbox"
          role="switch"
          aria-checked={(value ?? initial ?? false) === true}
          checked={(value ?? initial ?? false) === true}
          onChange={({ currentTarget }) =>
            onChange(currentTarget.checked === (initial ?? false) ? undefined : currentTarget.checked)
          }
        />
      );
    case 'choice':
      return (
        <select
          {...common}
          value={String(value ?? initial ?? '')}
          onChange={({ currentTarget }) =>
            onChange(currentTarget.value === initial ? undefined : currentTarget.value)
          }
        >
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      );
    case 'integer':
    case 'number': {
      const hasRange = min !== undefined && max !== undefined && max - min <= 1000;
      const now = value === undefined ? '' : String(value);
      return (
        <span class="number">
          {hasRange && (
            <input
              type="range"
              aria-hidden="true"
              tabIndex={-1}
              disabled={common.disabled}
              {...{ min, max, step: step ?? 0.1 }}
              value={Number(value ?? initial ?? min)}
              onInput={({ currentTarget }) => onChange(changed(currentTarget.value, initial))}
            />
          )}
          <input
            {...common}
            inputMode={kind === 'integer' ? 'numeric' : 'decimal'}
            autocomplete="off"
            placeholder={initial === undefined ? '' : String(initial)}
            value={now}
            onInput={({ currentTarget }) =>
              onChange(currentTarget.value === '' ? undefined : currentTarget.value)
            }
          />
        </span>
      );
    }
    default:
      return (
        <input
          {...common}
          inputMode={field.format === 'uri' ? 'url' : 'text'}
          autocomplete="off"
          maxLength={field.maxLength}
          placeholder={initial === undefined ? '' : String(initial)}
          value={String(value ?? '')}
          onInput={({ currentTarget }) =>
            onChange(currentTarget.value === '' ? undefined : currentTarget.value)
          }
        />
      );
  }
}

function changed(text: string, initial: unknown): string | undefined {
  return Number(text) === initial ? undefined : text;
}

function bounds({ kind, min, max }: Field, initial: unknown): string {
  const from =
    kind !== 'integer' && kind !== 'number'
      ? []
      : min !== undefined && max !== undefined
        ? [`${min} to ${max}`]
        : min !== undefined
          ? [`at least ${min}`]
          : max !== undefined
            ? [`at most ${max}`]
            : [];
  const said =
    initial === undefined || kind === 'choice'
      ? []
      : [`default ${initial === false ? 'off' : initial === true ? 'on' : initial}`];
  return [...from, ...said].join(', ');
}
