import type { Field } from '../request/fields.ts';
import { explainScheduler, groupSchedulers } from '../request/schedulers.ts';
import { setValue, values } from '../state/draft.ts';
import { Icon } from './icons.tsx';

export function SchedulerPicker({ field, errors }: { field: Field; errors: readonly string[] }) {
  const families = groupSchedulers(field.choices ?? []);
  const value = String(values.value.scheduler ?? field.default ?? 'Default');
  const family = families.find(({ names }) => names.includes(value));
  const id = 'field-scheduler';
  return (
    <div class="field" data-changed={values.value.scheduler === undefined ? undefined : ''}>
      <div class="field-head">
        <label class="field-name" for={id}>
          {field.name}
        </label>
        {values.value.scheduler !== undefined && (
          <button
            type="button"
            class="quiet icon-only tiny"
            aria-label="Reset scheduler"
            onClick={() => setValue('scheduler', undefined)}
          >
            <Icon name="reset" />
          </button>
        )}
        <select
          id={id}
          value={value}
          aria-invalid={errors.length > 0}
          aria-describedby={`${id}-about`}
          onChange={({ currentTarget }) =>
            setValue('scheduler', currentTarget.value === field.default ? undefined : currentTarget.value)
          }
        >
          {families.map(({ title, names }) => (
            <optgroup key={title} label={title}>
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </optgroup>
          ))}
        </select>
      </div>
      <p class="field-about" id={`${id}-about`}>
        {errors.length > 0 && <strong class="error">{errors.join(' ')} </strong>}
        {family?.about} <span class="bounds">{explainScheduler(value)}</span>
      </p>
    </div>
  );
}
